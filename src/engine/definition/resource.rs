//! What a Task's `Resource` names, and which service integrations the engine has.

use std::sync::Arc;

/// Developer guide, "Task workflow state", "Resource".
#[derive(Debug, Clone, PartialEq)]
pub enum Resource {
    /// A function's own ARN.
    Function(Arc<str>),
    /// An activity's ARN.
    Activity(Arc<str>),
    /// `arn:aws:states:::SERVICE:ACTION[.PATTERN]`
    Service(Service),
}

/// A service integration that the engine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Service {
    /// As in `resourceType`: `lambda`, `aws-sdk:s3`.
    pub name: &'static str,
    /// `invoke`, `startExecution`.
    pub action: &'static str,
    pub pattern: Pattern,
}

/// Developer guide, "Service integration patterns".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    RequestResponse,
    /// Waits for the job's end; what the job took and gave are strings.
    Sync,
    /// The same, with what the job took and gave as JSON.
    SyncJson,
    WaitForTaskToken,
}

impl Pattern {
    /// Behind the action, in the ARN and in `resource` of events.
    pub fn suffix(self) -> &'static str {
        match self {
            Self::RequestResponse => "",
            Self::Sync => ".sync",
            Self::SyncJson => ".sync:2",
            Self::WaitForTaskToken => ".waitForTaskToken",
        }
    }
}

impl Service {
    /// As in `resource` of events: `startExecution.sync:2`.
    pub fn resource(self) -> String {
        format!("{}{}", self.action, self.pattern.suffix())
    }
}

const ANSWERED: &[Pattern] = &[Pattern::RequestResponse];
const CALLED_BACK: &[Pattern] = &[Pattern::RequestResponse, Pattern::WaitForTaskToken];
const JOBS: &[Pattern] = &[
    Pattern::RequestResponse,
    Pattern::Sync,
    Pattern::SyncJson,
    Pattern::WaitForTaskToken,
];

/// Every service integration: service, its actions, its patterns.
const SERVICES: &[(&str, &[&str], &[Pattern])] = &[
    ("lambda", &["invoke"], CALLED_BACK),
    ("states", &["startExecution"], JOBS),
    ("http", &["invoke"], ANSWERED),
    ("aws-sdk:lambda", &["invoke"], CALLED_BACK),
    (
        "aws-sdk:s3",
        &[
            "copyObject",
            "createBucket",
            "deleteBucket",
            "deleteObject",
            "deleteObjects",
            "getObject",
            "headBucket",
            "headObject",
            "listBuckets",
            "listObjectsV2",
            "putObject",
        ],
        CALLED_BACK,
    ),
    (
        "aws-sdk:sfn",
        &[
            "describeActivity",
            "describeExecution",
            "describeMapRun",
            "describeStateMachine",
            "describeStateMachineForExecution",
            "getExecutionHistory",
            "listActivities",
            "listExecutions",
            "listMapRuns",
            "listStateMachines",
            "redriveExecution",
            "sendTaskFailure",
            "sendTaskHeartbeat",
            "sendTaskSuccess",
            "startExecution",
            "startSyncExecution",
            "stopExecution",
            "updateMapRun",
        ],
        CALLED_BACK,
    ),
];

/// Services that Step Functions integrates and the engine does not have, besides `aws-sdk:…`
/// (developer guide, "Integrating services").
const LACKING: &[&str] = &[
    "apigateway",
    "athena",
    "batch",
    "bedrock",
    "codebuild",
    "databrew",
    "dynamodb",
    "ecs",
    "eks",
    "elasticmapreduce",
    "emr-containers",
    "emr-serverless",
    "events",
    "glue",
    "mediaconvert",
    "sagemaker",
    "sns",
    "sqs",
];

impl Resource {
    /// # Errors
    /// AWS's text for what is no resource; a text that names the service for what the engine lacks.
    pub fn parse(arn: &str) -> Result<Self, String> {
        let parts: Vec<&str> = arn.splitn(7, ':').collect();
        match parts.as_slice() {
            ["arn", _, "lambda", _, _, "function", name] if !name.is_empty() => {
                Ok(Self::Function(arn.into()))
            }
            ["arn", _, "states", region, account, "activity", name]
                if !region.is_empty() && !account.is_empty() && !name.is_empty() =>
            {
                Ok(Self::Activity(arn.into()))
            }
            ["arn", _, "states", "", "", service, action] => service_of(service, action)
                .map(Self::Service)
                .ok_or_else(|| unsupported(service, action, arn)),
            _ => Err(unrecognized(arn)),
        }
    }

    /// `service` of `resourceType`, for texts and events; an ARN's service for functions.
    pub fn kind(&self) -> &str {
        match self {
            Self::Function(_) => "lambda",
            Self::Activity(_) => "activity",
            Self::Service(service) => service.name,
        }
    }

    /// The ARN, where somebody outside ends the Task with a token.
    pub fn called_back_arn(&self) -> Option<String> {
        match self {
            Self::Activity(arn) => Some(arn.to_string()),
            Self::Service(service) if service.pattern == Pattern::WaitForTaskToken => Some(
                format!("arn:aws:states:::{}:{}", service.name, service.resource()),
            ),
            Self::Function(_) | Self::Service(_) => None,
        }
    }
}

fn service_of(service: &str, action: &str) -> Option<Service> {
    // `aws-sdk:s3` + `getObject`: the service's name has a colon itself.
    let whole = format!("{service}:{action}");
    SERVICES.iter().find_map(|(name, actions, patterns)| {
        let action = whole.strip_prefix(name)?.strip_prefix(':')?;
        actions.iter().find_map(|known| {
            let suffix = action.strip_prefix(known)?;
            let pattern = patterns.iter().find(|pattern| pattern.suffix() == suffix)?;
            Some(Service {
                name,
                action: known,
                pattern: *pattern,
            })
        })
    })
}

fn unsupported(service: &str, action: &str, arn: &str) -> String {
    let sdk = if service == "aws-sdk" {
        action.split_once(':').map(|(service, _)| service)
    } else {
        None
    };
    match sdk {
        Some(sdk) => format!(
            "The resource {arn} is not supported by this engine: it has no aws-sdk:{sdk} or not this action of it"
        ),
        None if LACKING.contains(&service) => {
            format!("The resource {arn} is not supported by this engine: it has no {service}")
        }
        None => unrecognized(arn),
    }
}

fn unrecognized(arn: &str) -> String {
    format!(
        "The resource provided {arn} is not recognized. The value is not a valid resource ARN, or the resource is not available in this region."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pattern_of_a_service_is_told_from_the_others() {
        for (suffix, pattern) in [
            ("", Pattern::RequestResponse),
            (".sync", Pattern::Sync),
            (".sync:2", Pattern::SyncJson),
            (".waitForTaskToken", Pattern::WaitForTaskToken),
        ] {
            let parsed =
                Resource::parse(&format!("arn:aws:states:::states:startExecution{suffix}"));
            let Ok(Resource::Service(service)) = parsed else {
                panic!("{parsed:?}");
            };
            assert_eq!((service.name, service.pattern), ("states", pattern));
            assert_eq!(service.resource(), format!("startExecution{suffix}"));
        }
        let parsed = Resource::parse("arn:aws:states:::aws-sdk:s3:getObject").unwrap();
        assert_eq!(parsed.kind(), "aws-sdk:s3");
    }

    #[test]
    fn what_the_engine_lacks_is_refused_by_name_and_what_is_no_resource_in_the_words_of_aws() {
        let refused = |arn| Resource::parse(arn).unwrap_err();
        assert!(refused("arn:aws:states:::dynamodb:getItem").contains("it has no dynamodb"));
        assert!(refused("arn:aws:states:::aws-sdk:ec2:runInstances").contains("aws-sdk:ec2"));
        for arn in [
            "arn:aws:states:::lambda:invoke.sync",
            "arn:aws:states:::nothing:known",
            "arn:aws:states:::lambda",
            "arn:aws:lambda:us-east-1:000000000000:function:",
            "work",
            "",
        ] {
            assert!(
                refused(arn)
                    .starts_with(&format!("The resource provided {arn} is not recognized."))
            );
        }
    }
}
