//! What each operation takes: the API reference's members with their types and limits, as one
//! table, and the check of a request against it.

mod check;

pub use check::check;

/// One member of a structure.
pub struct Member {
    name: &'static str,
    is_required: bool,
    shape: Shape,
}

pub enum Shape {
    /// Length in characters, or in bytes where the limit is one of a payload.
    Text {
        min: usize,
        max: usize,
        pattern: Option<Pattern>,
        /// Not repeated in an error's message.
        is_secret: bool,
    },
    OneOf(&'static [&'static str]),
    Flag,
    Integer {
        min: i64,
        max: i64,
    },
    Number {
        min: f64,
        max: f64,
    },
    Structure(&'static [Member]),
    List {
        of: &'static Shape,
        min: usize,
        max: usize,
    },
    /// Names that are not known beforehand, with text.
    Map {
        key: &'static Shape,
        value: &'static Shape,
        min: usize,
        max: usize,
    },
}

/// A regular expression of the API reference, and the same as code.
#[derive(Clone, Copy)]
pub struct Pattern {
    text: &'static str,
    holds: fn(&str) -> bool,
}

pub const fn required(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        is_required: true,
        shape,
    }
}

pub const fn optional(name: &'static str, shape: Shape) -> Member {
    Member {
        name,
        is_required: false,
        shape,
    }
}

pub const fn text(min: usize, max: usize) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: None,
        is_secret: false,
    }
}

pub const fn secret(max: usize) -> Shape {
    Shape::Text {
        min: 0,
        max,
        pattern: None,
        is_secret: true,
    }
}

pub const fn pattern(min: usize, max: usize, text: &'static str, holds: fn(&str) -> bool) -> Shape {
    Shape::Text {
        min,
        max,
        pattern: Some(Pattern { text, holds }),
        is_secret: false,
    }
}

pub const fn integer(min: i64, max: i64) -> Shape {
    Shape::Integer { min, max }
}

/// From this length on, text is a payload, whose limit is one of bytes.
const PAYLOAD: usize = 262_144;

const ARN: Shape = text(1, 256);
const LONG_ARN: Shape = text(1, 2_000);
/// Its characters are judged by `check_name`, whose error is another; none is as good as absent.
const NAME: Shape = text(0, 80);
const DATA: Shape = secret(PAYLOAD);
const ERROR: Shape = secret(256);
const CAUSE: Shape = secret(32_768);
const DEFINITION: Shape = Shape::Text {
    min: 1,
    max: 1_048_576,
    pattern: None,
    is_secret: true,
};
const DESCRIPTION: Shape = secret(256);
const REVISION: Shape = text(0, usize::MAX);
const PAGE_SIZE: Shape = integer(0, 1_000);
const PAGE_TOKEN: Shape = text(1, 1_024);
const TASK_TOKEN: Shape = text(1, 2_048);
const INCLUDED: Shape = Shape::OneOf(&["ALL_DATA", "METADATA_ONLY"]);
const TYPE: Shape = Shape::OneOf(&["STANDARD", "EXPRESS"]);
const TRACE: Shape = pattern(0, 256, r"\p{ASCII}*", str::is_ascii);
const COUNT: Shape = integer(0, i32::MAX as i64);
const STATE_NAME: Shape = text(1, 80);

const ALIAS_NAME: Shape = pattern(
    1,
    80,
    r"^(?=.*[a-zA-Z_\-\.])[a-zA-Z0-9_\-\.]+$",
    |name: &str| {
        let is_mark = |c: char| "_-.".contains(c);
        name.chars()
            .all(|c| c.is_ascii_alphanumeric() || is_mark(c))
            && name.chars().any(|c| c.is_ascii_alphabetic() || is_mark(c))
    },
);
const CLIENT_TOKEN: Shape = pattern(1, 64, "[!-~]+", |token: &str| {
    token.bytes().all(|byte| byte.is_ascii_graphic())
});

const LOGGING: Shape = Shape::Structure(&[
    optional("level", Shape::OneOf(&["ALL", "ERROR", "FATAL", "OFF"])),
    optional("includeExecutionData", Shape::Flag),
    optional("destinations", LIST_OF_DESTINATIONS),
]);
const LIST_OF_DESTINATIONS: Shape = Shape::List {
    of: &Shape::Structure(&[optional(
        "cloudWatchLogsLogGroup",
        Shape::Structure(&[optional("logGroupArn", ARN)]),
    )]),
    min: 0,
    max: usize::MAX,
};
const TRACING: Shape = Shape::Structure(&[optional("enabled", Shape::Flag)]);
const ENCRYPTION: Shape = Shape::Structure(&[
    optional("kmsKeyId", text(1, 2_048)),
    optional("kmsDataKeyReusePeriodSeconds", integer(60, 900)),
    required(
        "type",
        Shape::OneOf(&["AWS_OWNED_KEY", "CUSTOMER_MANAGED_KMS_KEY"]),
    ),
]);
const TAGS: Shape = Shape::List {
    of: &Shape::Structure(&[
        optional("key", text(1, 128)),
        optional("value", text(0, 256)),
    ]),
    min: 0,
    max: usize::MAX,
};
const TAG_KEYS: Shape = Shape::List {
    of: &text(1, 128),
    min: 0,
    max: usize::MAX,
};
const ROUTING: Shape = Shape::List {
    of: &Shape::Structure(&[
        required("stateMachineVersionArn", ARN),
        required("weight", integer(0, 100)),
    ]),
    min: 1,
    max: 2,
};
const STATUS_FILTER: Shape = Shape::OneOf(&[
    "SUCCEEDED",
    "TIMED_OUT",
    "PENDING_REDRIVE",
    "ABORTED",
    "FAILED",
    "RUNNING",
]);
const MOCK: Shape = Shape::Structure(&[
    optional("result", DATA),
    optional(
        "errorOutput",
        Shape::Structure(&[optional("error", ERROR), optional("cause", CAUSE)]),
    ),
    optional(
        "fieldValidationMode",
        Shape::OneOf(&["STRICT", "PRESENT", "NONE"]),
    ),
]);
const STATE_CONFIGURATION: Shape = Shape::Structure(&[
    optional("retrierRetryCount", COUNT),
    optional("errorCausedByState", STATE_NAME),
    optional("mapIterationFailureCount", COUNT),
    optional("mapItemReaderData", DATA),
]);

/// The members of an operation's request; `None` for an operation that Step Functions lacks.
pub fn request(operation: &str) -> Option<&'static [Member]> {
    let members: &'static [Member] = match operation {
        "CreateActivity" => {
            const {
                &[
                    required("name", NAME),
                    optional("tags", TAGS),
                    optional("encryptionConfiguration", ENCRYPTION),
                ]
            }
        }
        "CreateStateMachine" => {
            const {
                &[
                    required("name", NAME),
                    required("definition", DEFINITION),
                    required("roleArn", ARN),
                    optional("type", TYPE),
                    optional("loggingConfiguration", LOGGING),
                    optional("tags", TAGS),
                    optional("tracingConfiguration", TRACING),
                    optional("publish", Shape::Flag),
                    optional("versionDescription", DESCRIPTION),
                    optional("encryptionConfiguration", ENCRYPTION),
                ]
            }
        }
        "CreateStateMachineAlias" => {
            const {
                &[
                    optional("description", DESCRIPTION),
                    required("name", ALIAS_NAME),
                    required("routingConfiguration", ROUTING),
                ]
            }
        }
        "DeleteActivity" | "DescribeActivity" => const { &[required("activityArn", ARN)] },
        "DeleteStateMachine" => const { &[required("stateMachineArn", ARN)] },
        "DeleteStateMachineAlias" | "DescribeStateMachineAlias" => {
            const { &[required("stateMachineAliasArn", ARN)] }
        }
        "DeleteStateMachineVersion" => const { &[required("stateMachineVersionArn", LONG_ARN)] },
        "DescribeExecution" | "DescribeStateMachineForExecution" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("includedData", INCLUDED),
                ]
            }
        }
        "DescribeMapRun" => const { &[required("mapRunArn", LONG_ARN)] },
        "DescribeStateMachine" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("includedData", INCLUDED),
                ]
            }
        }
        "GetActivityTask" => {
            const { &[required("activityArn", ARN), optional("workerName", NAME)] }
        }
        "GetExecutionHistory" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("maxResults", PAGE_SIZE),
                    optional("reverseOrder", Shape::Flag),
                    optional("nextToken", PAGE_TOKEN),
                    optional("includeExecutionData", Shape::Flag),
                ]
            }
        }
        "ListActivities" | "ListStateMachines" => {
            const {
                &[
                    optional("maxResults", PAGE_SIZE),
                    optional("nextToken", PAGE_TOKEN),
                ]
            }
        }
        "ListExecutions" => {
            const {
                &[
                    optional("stateMachineArn", ARN),
                    optional("statusFilter", STATUS_FILTER),
                    optional("maxResults", PAGE_SIZE),
                    optional("nextToken", text(1, 3_096)),
                    optional("mapRunArn", LONG_ARN),
                    optional("redriveFilter", Shape::OneOf(&["REDRIVEN", "NOT_REDRIVEN"])),
                ]
            }
        }
        "ListMapRuns" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("maxResults", PAGE_SIZE),
                    optional("nextToken", PAGE_TOKEN),
                ]
            }
        }
        "ListStateMachineAliases" | "ListStateMachineVersions" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("nextToken", PAGE_TOKEN),
                    optional("maxResults", PAGE_SIZE),
                ]
            }
        }
        "ListTagsForResource" => const { &[required("resourceArn", ARN)] },
        "PublishStateMachineVersion" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("revisionId", REVISION),
                    optional("description", DESCRIPTION),
                ]
            }
        }
        "RedriveExecution" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("clientToken", CLIENT_TOKEN),
                ]
            }
        }
        "SendTaskFailure" => {
            const {
                &[
                    required("taskToken", TASK_TOKEN),
                    optional("error", ERROR),
                    optional("cause", CAUSE),
                ]
            }
        }
        "SendTaskHeartbeat" => const { &[required("taskToken", TASK_TOKEN)] },
        "SendTaskSuccess" => {
            const { &[required("taskToken", TASK_TOKEN), required("output", DATA)] }
        }
        "StartExecution" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("name", NAME),
                    optional("input", DATA),
                    optional("traceHeader", TRACE),
                ]
            }
        }
        "StartSyncExecution" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("name", NAME),
                    optional("input", DATA),
                    optional("traceHeader", TRACE),
                    optional("includedData", INCLUDED),
                ]
            }
        }
        "StopExecution" => {
            const {
                &[
                    required("executionArn", ARN),
                    optional("error", ERROR),
                    optional("cause", CAUSE),
                ]
            }
        }
        "TagResource" => const { &[required("resourceArn", ARN), required("tags", TAGS)] },
        "TestState" => {
            const {
                &[
                    required("definition", DEFINITION),
                    optional("roleArn", ARN),
                    optional("input", DATA),
                    optional("inspectionLevel", Shape::OneOf(&["INFO", "DEBUG", "TRACE"])),
                    optional("revealSecrets", Shape::Flag),
                    optional("variables", DATA),
                    optional("stateName", STATE_NAME),
                    optional("mock", MOCK),
                    optional("context", DATA),
                    optional("stateConfiguration", STATE_CONFIGURATION),
                ]
            }
        }
        "UntagResource" => const { &[required("resourceArn", ARN), required("tagKeys", TAG_KEYS)] },
        "UpdateMapRun" => {
            const {
                &[
                    required("mapRunArn", LONG_ARN),
                    optional("maxConcurrency", COUNT),
                    optional(
                        "toleratedFailurePercentage",
                        Shape::Number {
                            min: 0.0,
                            max: 100.0,
                        },
                    ),
                    optional("toleratedFailureCount", integer(0, i64::MAX)),
                ]
            }
        }
        "UpdateStateMachine" => {
            const {
                &[
                    required("stateMachineArn", ARN),
                    optional("definition", DEFINITION),
                    optional("roleArn", ARN),
                    optional("loggingConfiguration", LOGGING),
                    optional("tracingConfiguration", TRACING),
                    optional("publish", Shape::Flag),
                    optional("versionDescription", DESCRIPTION),
                    optional("encryptionConfiguration", ENCRYPTION),
                ]
            }
        }
        "UpdateStateMachineAlias" => {
            const {
                &[
                    required("stateMachineAliasArn", ARN),
                    optional("description", DESCRIPTION),
                    optional("routingConfiguration", ROUTING),
                ]
            }
        }
        "ValidateStateMachineDefinition" => {
            const {
                &[
                    required("definition", DEFINITION),
                    optional("type", TYPE),
                    optional("severity", Shape::OneOf(&["ERROR", "WARNING"])),
                    optional("maxResults", integer(0, 100)),
                ]
            }
        }
        _ => return None,
    };
    Some(members)
}
