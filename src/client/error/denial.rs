//! Which right is missing when a service refuses: read from its text where that says, else from
//! what was asked.

use crate::model::Statement;

/// Before the action in AWS's own words.
const PERFORM: &str = "is not authorized to perform: ";
/// Before the resource.
const ON: &str = " on resource: ";

/// Actions of S3's API whose right has another name, or that are about the bucket.
const RIGHTS: [(&str, &str, Scope); 13] = [
    ("ListBuckets", "s3:ListAllMyBuckets", Scope::Everything),
    ("ListObjectsV2", "s3:ListBucket", Scope::Bucket),
    ("ListObjectVersions", "s3:ListBucketVersions", Scope::Bucket),
    ("CreateBucket", "s3:CreateBucket", Scope::Bucket),
    ("GetObject", "s3:GetObject", Scope::Object),
    ("HeadObject", "s3:GetObject", Scope::Object),
    ("PutObject", "s3:PutObject", Scope::Object),
    ("CreateMultipartUpload", "s3:PutObject", Scope::Object),
    ("UploadPart", "s3:PutObject", Scope::Object),
    ("CompleteMultipartUpload", "s3:PutObject", Scope::Object),
    ("ListParts", "s3:ListMultipartUploadParts", Scope::Object),
    (
        "AbortMultipartUpload",
        "s3:AbortMultipartUpload",
        Scope::Object,
    ),
    ("DeleteObjects", "s3:DeleteObject", Scope::Object),
];
/// Actions of CloudWatch Logs.
const LOGS: [&str; 4] = [
    "FilterLogEvents",
    "GetLogEvents",
    "DescribeLogGroups",
    "StartLiveTail",
];

/// What a right of S3 is about.
#[derive(Clone, Copy)]
enum Scope {
    Everything,
    Bucket,
    Object,
}

/// The statement that is missing. `None` where more rights would not help: something denies it
/// explicitly, or nobody needs a right for it.
pub(super) fn missing(
    action: &str,
    subject: &str,
    text: &str,
    partition: &str,
) -> Option<Statement> {
    if is_explicit(text) {
        return None;
    }
    if let Some((right, resource)) = named(text) {
        return Some(Statement::allow([right], [resource]));
    }
    if action == "GetCallerIdentity" {
        return None;
    }
    if let Some((_, right, scope)) = RIGHTS.iter().find(|(known, ..)| *known == action) {
        let address = subject.trim_start_matches("s3://");
        let address = match scope {
            Scope::Everything => return Some(Statement::allow([*right], ["*"])),
            Scope::Bucket => address.split('/').next().unwrap_or(address),
            Scope::Object => address,
        };
        let arn = format!("arn:{partition}:s3:::{address}");
        return Some(Statement::allow([*right], [arn]));
    }
    let service = match LOGS.contains(&action) {
        true => "logs",
        false => "states",
    };
    let resource = match subject.starts_with("arn:") {
        true => subject,
        false => "*",
    };
    Some(Statement::allow(
        [format!("{service}:{action}")],
        [resource],
    ))
}

/// Whether a policy says no, rather than none yes.
pub(super) fn is_explicit(text: &str) -> bool {
    text.contains("explicit deny")
}

/// Action and resource as AWS names them: `User: … is not authorized to perform: s3:GetObject on
/// resource: "arn:aws:s3:::b/k" because no identity-based policy allows the s3:GetObject action`.
fn named(text: &str) -> Option<(&str, &str)> {
    let (_, rest) = text.split_once(PERFORM)?;
    let (right, rest) = match rest.split_once(ON) {
        Some((right, rest)) => (right, rest),
        None => (rest, ""),
    };
    let right = right.split_whitespace().next()?;
    let resource = match rest.strip_prefix('"') {
        // Keys of objects may hold blanks.
        Some(quoted) => quoted.split('"').next(),
        None => rest
            .split(" because ")
            .next()
            .and_then(|it| it.split_whitespace().next()),
    };
    let resource = resource.map(|it| it.trim_end_matches(['.', ',']));
    let is_right = right.split_once(':').is_some_and(|(service, action)| {
        let plain = |text: &str| {
            !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        };
        plain(service) && plain(action)
    });
    is_right.then(|| (right, resource.filter(|it| !it.is_empty()).unwrap_or("*")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn statement(action: &str, subject: &str, text: &str) -> String {
        missing(action, subject, text, "aws").map_or_else(String::new, |it| it.json())
    }

    #[test]
    fn the_right_is_the_one_that_aws_names() {
        let text = "User: arn:aws:sts::472100009012:assumed-role/DataOps/me is not authorized to \
            perform: states:RedriveExecution on resource: \
            arn:aws:states:eu-west-1:472100009012:execution:Files:run-7 because no identity-based \
            policy allows the states:RedriveExecution action";
        assert_eq!(
            statement("RedriveExecution", "arn:x", text),
            "{\"Effect\":\"Allow\",\"Action\":[\"states:RedriveExecution\"],\"Resource\":[\
            \"arn:aws:states:eu-west-1:472100009012:execution:Files:run-7\"]}"
        );
        // The key of the object is another service's business.
        let text = "User: arn:aws:iam::1:user/a is not authorized to perform: kms:Decrypt on \
            resource: arn:aws:kms:eu-west-1:1:key/2 because no resource-based policy allows it";
        let found = statement("GetObject", "s3://b/k", text);
        assert!(
            found.contains("kms:Decrypt") && found.contains("key/2"),
            "{found}"
        );
        let text = "User: u is not authorized to perform: s3:GetObject on resource: \
            \"arn:aws:s3:::b/a file\" because";
        assert!(statement("GetObject", "s3://b/x", text).contains("arn:aws:s3:::b/a file"));
        let text = "User: u is not authorized to perform: logs:DescribeLogGroups";
        assert!(statement("DescribeLogGroups", "x", text).contains("[\"*\"]"));
    }

    #[test]
    fn where_the_text_says_nothing_the_question_does() {
        let of = |action, subject| statement(action, subject, "Access Denied");
        assert!(
            of("HeadObject", "s3://b/k/x")
                .contains("s3:GetObject\"],\"Resource\":[\"arn:aws:s3:::b/k/x")
        );
        assert!(
            of("ListObjectsV2", "s3://b/runs/")
                .contains("s3:ListBucket\"],\"Resource\":[\"arn:aws:s3:::b\"]")
        );
        assert!(of("UploadPart", "s3://b/k").contains("s3:PutObject"));
        assert!(of("FilterLogEvents", "/aws/lambda/f").contains("logs:FilterLogEvents"));
        assert!(of("DescribeMapRun", "arn:aws:states:r:a:mapRun:M/L:1").contains("mapRun:M/L:1"));
        assert_eq!(of("GetCallerIdentity", "default"), "");
        let china = missing("GetObject", "s3://b/k", "", "aws-cn").unwrap();
        assert_eq!(china.resource, ["arn:aws-cn:s3:::b/k"]);
    }

    #[test]
    fn an_explicit_denial_has_no_cure_in_rights() {
        let text = "User: u is not authorized to perform: states:StartExecution on resource: arn:x \
            with an explicit deny in a service control policy";
        assert_eq!(statement("StartExecution", "arn:x", text), "");
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "(User: |is not authorized to perform: |s3:Get| on resource: |\"|because|\\PC){0,9}") {
            let _ = missing("GetObject", "s3://b/k", &text, "aws");
        }
    }
}
