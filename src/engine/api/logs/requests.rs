//! What each operation takes (API reference of CloudWatch Logs), as one table.

use crate::engine::api::sfn::shapes::{Member, Shape, integer, optional, pattern, required, text};

const GROUP: Shape = pattern(1, 512, r"[\.\-_/#A-Za-z0-9]+", is_group_name);
const GROUP_PART: Shape = pattern(0, 512, r"[\.\-_/#A-Za-z0-9]*", is_group_name);
const IDENTIFIER: Shape = pattern(1, 2_048, r"[\w#+=/:,.@-]*", is_identifier);
const STREAM: Shape = pattern(1, 512, "[^:*]*", |name| !name.contains([':', '*']));
/// Its length is judged with the batch's, whose error is another; it is not repeated in an error.
const MESSAGE: Shape = Shape::Text {
    min: 1,
    max: usize::MAX,
    pattern: None,
    is_secret: true,
};
const EVENT: Shape = Shape::Structure(&[required("timestamp", TIME), required("message", MESSAGE)]);
const ACCOUNT: Shape = text(12, 12);
const TIME: Shape = integer(0, i64::MAX);
const FILTER: Shape = text(0, 1_024);
const TOKEN: Shape = text(1, usize::MAX);
const ARN: Shape = pattern(1, 1_011, r"[\w+=/:,.@-]*", is_identifier);
const TAG_KEY: Shape = text(1, 128);
const TAGS: Shape = Shape::Map {
    key: &TAG_KEY,
    value: &text(0, 256),
    min: 1,
    max: 50,
};
const CLASS: Shape = Shape::OneOf(&["STANDARD", "INFREQUENT_ACCESS", "DELIVERY"]);

const fn list(of: &'static Shape, min: usize, max: usize) -> Shape {
    Shape::List { of, min, max }
}

pub fn is_group_name(name: &str) -> bool {
    name.chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/#".contains(c))
}

fn is_identifier(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || "_#+=/:,.@-".contains(c))
}

/// The members of an operation's request; `None` for one that is not served here.
pub fn request(operation: &str) -> Option<&'static [Member]> {
    let members: &'static [Member] = match operation {
        "CreateLogGroup" => {
            const {
                &[
                    required("logGroupName", GROUP),
                    optional("kmsKeyId", text(0, 256)),
                    optional("tags", TAGS),
                    optional("logGroupClass", CLASS),
                    optional("deletionProtectionEnabled", Shape::Flag),
                ]
            }
        }
        "DescribeLogGroups" => {
            const {
                &[
                    optional("accountIdentifiers", list(&ACCOUNT, 0, 20)),
                    optional("logGroupNamePrefix", GROUP),
                    optional("logGroupNamePattern", GROUP_PART),
                    optional("nextToken", TOKEN),
                    optional("limit", integer(1, 50)),
                    optional("includeLinkedAccounts", Shape::Flag),
                    optional("logGroupClass", CLASS),
                    optional("logGroupIdentifiers", list(&IDENTIFIER, 1, 50)),
                ]
            }
        }
        "DeleteLogGroup" | "DeleteRetentionPolicy" | "ListTagsLogGroup" => {
            const { &[required("logGroupName", GROUP)] }
        }
        "PutRetentionPolicy" => {
            const {
                &[
                    required("logGroupName", GROUP),
                    required("retentionInDays", integer(i64::MIN, i64::MAX)),
                ]
            }
        }
        "CreateLogStream" | "DeleteLogStream" => {
            const {
                &[
                    required("logGroupName", GROUP),
                    required("logStreamName", STREAM),
                ]
            }
        }
        "DescribeLogStreams" => {
            const {
                &[
                    optional("logGroupName", GROUP),
                    optional("logGroupIdentifier", IDENTIFIER),
                    optional("logStreamNamePrefix", STREAM),
                    optional("orderBy", Shape::OneOf(&["LogStreamName", "LastEventTime"])),
                    optional("descending", Shape::Flag),
                    optional("nextToken", TOKEN),
                    optional("limit", integer(1, 50)),
                ]
            }
        }
        "PutLogEvents" => {
            const {
                &[
                    required("logGroupName", GROUP),
                    required("logStreamName", STREAM),
                    required("logEvents", list(&EVENT, 1, 10_000)),
                    optional("sequenceToken", TOKEN),
                ]
            }
        }
        "GetLogEvents" => {
            const {
                &[
                    optional("logGroupName", GROUP),
                    optional("logGroupIdentifier", IDENTIFIER),
                    required("logStreamName", STREAM),
                    optional("startTime", TIME),
                    optional("endTime", TIME),
                    optional("nextToken", TOKEN),
                    optional("limit", integer(1, 10_000)),
                    optional("startFromHead", Shape::Flag),
                    optional("unmask", Shape::Flag),
                ]
            }
        }
        "FilterLogEvents" => {
            const {
                &[
                    optional("logGroupName", GROUP),
                    optional("logGroupIdentifier", IDENTIFIER),
                    optional("logStreamNames", list(&STREAM, 1, 100)),
                    optional("logStreamNamePrefix", STREAM),
                    optional("startTime", TIME),
                    optional("endTime", TIME),
                    optional("filterPattern", FILTER),
                    optional("nextToken", TOKEN),
                    optional("limit", integer(1, 10_000)),
                    optional("interleaved", Shape::Flag),
                    optional("unmask", Shape::Flag),
                ]
            }
        }
        "StartLiveTail" => {
            const {
                &[
                    required("logGroupIdentifiers", list(&IDENTIFIER, 1, 10)),
                    optional("logStreamNames", list(&STREAM, 1, 100)),
                    optional("logStreamNamePrefixes", list(&STREAM, 1, 100)),
                    optional("logEventFilterPattern", FILTER),
                ]
            }
        }
        "TagLogGroup" => const { &[required("logGroupName", GROUP), required("tags", TAGS)] },
        "UntagLogGroup" => {
            const {
                &[
                    required("logGroupName", GROUP),
                    required("tags", list(&TAG_KEY, 1, usize::MAX)),
                ]
            }
        }
        "TagResource" => const { &[required("resourceArn", ARN), required("tags", TAGS)] },
        "UntagResource" => {
            const {
                &[
                    required("resourceArn", ARN),
                    required("tagKeys", list(&TAG_KEY, 0, 50)),
                ]
            }
        }
        "ListTagsForResource" => const { &[required("resourceArn", ARN)] },
        _ => return None,
    };
    Some(members)
}
