//! What a state machine's role must be allowed, found from what its definition does.

use serde_json::Value;

use super::Finding;
use super::maps::child_arns;
use super::places::{Place, arguments, fixed};
use super::tasks::{calls_lambda, function};
use crate::model::{StateMachineDetail, Statement};

/// The rule by which a `.sync` start hears of the end.
const RULE: &str = "StepFunctionsGetEventsForStepFunctionsExecutionRule";
/// What a state machine that logs asks of CloudWatch Logs; none of it can be narrowed down.
const DELIVERY: [&str; 8] = [
    "logs:CreateLogDelivery",
    "logs:GetLogDelivery",
    "logs:UpdateLogDelivery",
    "logs:DeleteLogDelivery",
    "logs:ListLogDeliveries",
    "logs:PutResourcePolicy",
    "logs:DescribeResourcePolicies",
    "logs:DescribeLogGroups",
];
/// Services whose rights go by another name than their SDK's.
const PREFIXES: [(&str, &str); 8] = [
    ("sfn", "states"),
    ("cloudwatchlogs", "logs"),
    ("eventbridge", "events"),
    ("sesv2", "ses"),
    ("pinpointsmsvoicev2", "sms-voice"),
    ("elasticloadbalancingv2", "elasticloadbalancing"),
    ("databasemigration", "dms"),
    ("efs", "elasticfilesystem"),
];

pub fn findings(detail: &StateMachineDetail) -> Vec<Finding> {
    const CHECK: &str = "role";
    let name = detail.role.rsplit('/').next().unwrap_or_default();
    let account = |arn: &str| arn.split(':').nth(4).unwrap_or_default().to_owned();
    let (own, theirs) = (account(detail.arn.as_str()), account(&detail.role));
    let unread = format!("the policies of role {name} are not read: compare them");
    let unread = Finding::info(CHECK, "", unread)
        .why("what it lacks shows only once the run gets there, and of a redrive after it began")
        .change("give the role the statements listed");
    match own == theirs {
        true => vec![unread],
        false => {
            let text = format!("role {name} belongs to account {theirs}");
            vec![Finding::warning(CHECK, "", text), unread]
        }
    }
}

/// Each action once, with all that it is needed on.
pub fn statements(detail: &StateMachineDetail, places: &[Place]) -> Vec<Statement> {
    let mut needs = Needs {
        here: Here::of(detail),
        found: Vec::new(),
    };
    for place in places {
        if place.is_distributed() {
            needs.of_map(place, detail);
        }
        if place.state["Type"] == "Task" {
            needs.of_task(place.state, detail);
        }
    }
    if detail.logging.level.is_some() {
        needs.add(&DELIVERY, ["*".to_owned()]);
    }
    needs.found
}

/// Partition, Region and account, for ARNs of other services.
struct Here {
    partition: String,
    region: String,
    account: String,
}

impl Here {
    fn of(detail: &StateMachineDetail) -> Self {
        let part = |at: usize| {
            let part = detail.arn.as_str().split(':').nth(at);
            part.unwrap_or_default().to_owned()
        };
        Self {
            partition: part(1),
            region: part(3),
            account: part(4),
        }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let Self {
            partition,
            region,
            account,
        } = self;
        format!("arn:{partition}:{service}:{region}:{account}:{resource}")
    }

    /// Buckets are named without Region and account.
    fn bucket(&self, rest: &str) -> String {
        format!("arn:{}:s3:::{rest}", self.partition)
    }
}

struct Needs {
    here: Here,
    found: Vec<Statement>,
}

impl Needs {
    fn add<const N: usize>(&mut self, actions: &[&str], resources: [String; N]) {
        let same = self.found.iter_mut().find(|it| it.action == actions);
        let Some(statement) = same else {
            let actions = actions.iter().copied();
            self.found.push(Statement::allow(actions, resources));
            return;
        };
        for resource in resources {
            if !statement.resource.contains(&resource) {
                statement.resource.push(resource);
            }
        }
    }

    fn of_map(&mut self, place: &Place, detail: &StateMachineDetail) {
        let machine = detail.arn.to_string();
        let children = child_arns(place, detail);
        self.add(&["states:StartExecution"], [machine.clone()]);
        let own = machine.replacen(":stateMachine:", ":execution:", 1) + ":*";
        let manage = ["states:DescribeExecution", "states:StopExecution"];
        self.add(&manage, [own, children.clone()]);
        if !place.is_express_map() {
            self.add(&["states:RedriveExecution"], [children]);
        }
        self.of_reader(&place.state["ItemReader"]);
        let writer = arguments(&place.state["ResultWriter"]);
        if writer.is_object() {
            let bucket = fixed(writer, "Bucket").unwrap_or("BUCKET");
            let files = match fixed(writer, "Prefix").map(|it| it.trim_end_matches('/')) {
                Some("") | None => format!("{bucket}/*"),
                Some(prefix) => format!("{bucket}/{prefix}/*"),
            };
            let files = self.here.bucket(&files);
            let actions = [
                "s3:PutObject",
                "s3:GetObject",
                "s3:ListMultipartUploadParts",
                "s3:AbortMultipartUpload",
            ];
            self.add(&actions, [files]);
        }
    }

    fn of_reader(&mut self, reader: &Value) {
        let resource = reader["Resource"].as_str().unwrap_or_default();
        let source = arguments(reader);
        let bucket = fixed(source, "Bucket").unwrap_or("BUCKET");
        let all = self.here.bucket(&format!("{bucket}/*"));
        if resource.ends_with(":s3:listObjectsV2") {
            let listed = self.here.bucket(bucket);
            self.add(&["s3:ListBucket"], [listed]);
            let transformation = reader["ReaderConfig"]["Transformation"].as_str();
            if transformation == Some("LOAD_AND_FLATTEN") {
                self.add(&["s3:GetObject"], [all]);
            }
        } else if resource.ends_with(":s3:getObject") {
            let is_manifest = reader["ReaderConfig"].get("ManifestType").is_some();
            let object = match fixed(source, "Key").filter(|_| !is_manifest) {
                Some(key) => self.here.bucket(&format!("{bucket}/{key}")),
                None => all,
            };
            let versioned = ["VersionId", "VersionId.$"];
            match versioned.iter().any(|it| source.get(it).is_some()) {
                true => self.add(&["s3:GetObject", "s3:GetObjectVersion"], [object]),
                false => self.add(&["s3:GetObject"], [object]),
            }
        }
    }

    fn of_task(&mut self, state: &Value, detail: &StateMachineDetail) {
        let resource = state["Resource"].as_str().unwrap_or_default();
        if calls_lambda(resource) {
            let name = function(state, resource).unwrap_or("FUNCTION");
            let name = name.rsplit_once("function:").map_or(name, |(_, it)| it);
            let name = name.split(':').next().unwrap_or(name);
            let function = self.here.arn("lambda", &format!("function:{name}"));
            let versions = format!("{function}:*");
            return self.add(&["lambda:InvokeFunction"], [function, versions]);
        }
        let Some((_, service)) = resource.split_once(":states:::") else {
            return;
        };
        let mut parts = service.trim_start_matches("aws-sdk:").splitn(2, ':');
        let (Some(service), Some(rest)) = (parts.next(), parts.next()) else {
            return;
        };
        let (action, pattern) = rest.split_once('.').unwrap_or((rest, ""));
        match (service, action) {
            ("states" | "sfn", "startExecution") => self.of_start(state, pattern),
            ("http", "invoke") => {
                self.add(&["states:InvokeHTTPEndpoint"], [detail.arn.to_string()]);
                let connections = self.here.arn("events", "connection/*");
                self.add(&["events:RetrieveConnectionCredentials"], [connections]);
                let secrets = self
                    .here
                    .arn("secretsmanager", "secret:events!connection/*");
                let read = [
                    "secretsmanager:GetSecretValue",
                    "secretsmanager:DescribeSecret",
                ];
                self.add(&read, [secrets]);
            }
            (service, action) => {
                let known = PREFIXES.iter().find(|(sdk, _)| *sdk == service);
                let prefix = known.map_or(service, |(_, prefix)| prefix);
                let mut letters = action.chars();
                let first = letters.next().map(|it| it.to_ascii_uppercase());
                let action: String = first.into_iter().chain(letters).collect();
                self.add(&[&format!("{prefix}:{action}")], ["*".to_owned()]);
            }
        }
    }

    /// An execution of another state machine.
    fn of_start(&mut self, state: &Value, pattern: &str) {
        let machine = fixed(arguments(state), "StateMachineArn");
        let machine = match machine {
            Some(arn) => arn.to_owned(),
            None => self.here.arn("states", "stateMachine:MACHINE"),
        };
        let executions = machine.replacen(":stateMachine:", ":execution:", 1) + ":*";
        self.add(&["states:StartExecution"], [machine]);
        if pattern.starts_with("sync") {
            let manage = ["states:DescribeExecution", "states:StopExecution"];
            self.add(&manage, [executions]);
            let rule = self.here.arn("events", &format!("rule/{RULE}"));
            let rights = ["events:PutTargets", "events:PutRule", "events:DescribeRule"];
            self.add(&rights, [rule]);
        }
    }
}
