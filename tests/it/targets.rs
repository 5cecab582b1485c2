//! Ways to an account: variables, profiles, credential programs, roles, endpoints, proxies and
//! certificates, each taken by the program itself. What would be AWS is the engine, a stub, or a
//! proxy that only looks where one wants to go.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::house::{Given, Serving, fanout};

mod net;

use net::{Proxy, Stub, Tls};

/// A home with AWS settings, and the program in it.
struct Home {
    folder: tempfile::TempDir,
}

impl Home {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join(".aws")).unwrap();
        Self { folder }
    }

    fn config(&self, text: &str) -> &Self {
        std::fs::write(self.folder.path().join(".aws/config"), text).unwrap();
        self
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path
    }

    fn fanout(&self, set: &[(&str, &str)], arguments: &[&str]) -> Given {
        let mut command: Command = fanout(self.folder.path());
        command.env("AWS_MAX_ATTEMPTS", "1");
        command.envs(set.iter().copied()).args(arguments);
        Given(command.output().unwrap())
    }
}

/// Keys of somebody.
const KEYS: [(&str, &str); 2] = [
    ("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    KEYS.iter().chain(more).copied().collect()
}

/// A profile's lines with the engine's keys.
fn profile(engine: &Serving, name: &str) -> String {
    let set = engine.environment();
    format!(
        "[profile {name}]\nregion = us-east-1\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        set["AWS_ACCESS_KEY_ID"], set["AWS_SECRET_ACCESS_KEY"]
    )
}

fn finds_machines(given: Given) {
    let machines = given.success().json();
    assert_eq!(machines["machines"][0]["name"], "fanout", "{machines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_go_to_the_host_that_variables_and_profiles_choose() {
    let proxy = Proxy::refusing().await;
    let url = proxy.url();
    let went = |home: &Home, set: &[(&str, &str)], arguments: &[&str]| {
        let mut set = set.to_vec();
        set.push(("HTTPS_PROXY", &url));
        home.fanout(&set, arguments).exit(6);
        proxy.taken().pop().unwrap_or_default()
    };
    let none = Home::new();
    let machines = ["machines", "--region", "us-east-1"];
    let plain = "states.us-east-1.amazonaws.com:443";
    assert_eq!(went(&none, &with(&[]), &machines), plain);
    let region = with(&[("AWS_REGION", "eu-west-1")]);
    assert_eq!(
        went(&none, &region, &["machines"]),
        "states.eu-west-1.amazonaws.com:443"
    );
    let fips = with(&[("AWS_USE_FIPS_ENDPOINT", "true")]);
    assert_eq!(
        went(&none, &fips, &machines),
        "states-fips.us-east-1.amazonaws.com:443"
    );
    let dual = with(&[("AWS_USE_DUALSTACK_ENDPOINT", "true")]);
    assert_eq!(
        went(&none, &dual, &machines),
        "states.us-east-1.api.aws:443"
    );
    let ignored = with(&[
        ("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
        ("AWS_ENDPOINT_URL_SFN", "http://127.0.0.1:9"),
    ]);
    assert_eq!(went(&none, &ignored, &machines), plain);
    let home = Home::new();
    home.config(
        "[profile fips]\nregion = us-east-1\nuse_fips_endpoint = true\nuse_dualstack_endpoint = true\n",
    );
    let both = went(&home, &with(&[]), &["machines", "--profile", "fips"]);
    assert_eq!(both, "states-fips.us-east-1.api.aws:443");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_and_a_role_are_looked_for_where_aws_keeps_them() {
    let proxy = Proxy::refusing().await;
    let url = proxy.url();
    let home = Home::new();
    home.config(
        "[profile sso]\nsso_session = corp\nsso_account_id = 472100009012\nsso_role_name = Ops\n\
         region = eu-west-1\n[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\n\
         sso_region = eu-central-1\n[profile out]\nsso_session = other\nsso_account_id = 1\n\
         sso_role_name = Ops\nregion = eu-west-1\n[sso-session other]\n\
         sso_start_url = https://other.awsapps.com/start\nsso_region = eu-west-1\n[profile base]\naws_access_key_id = A\n\
         aws_secret_access_key = s\n[profile role]\nrole_arn = arn:aws:iam::472100009012:role/Ops\n\
         source_profile = base\nregion = eu-west-1\n[profile new]\n\
         login_session = arn:aws:iam::472100009012:user/me\nregion = eu-west-1\n",
    );
    // The name of the file is the SHA-1 of the session's.
    let token = json!({"startUrl": "https://corp.awsapps.com/start", "region": "eu-central-1",
        "accessToken": "t", "expiresAt": "2999-01-01T00:00:00Z"});
    home.file(
        ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json",
        &token.to_string(),
    );
    let run = |profile: &str| {
        let given = home.fanout(
            &[("HTTPS_PROXY", &url)],
            &["machines", "--profile", profile],
        );
        (given, proxy.taken())
    };
    let (given, went) = run("role");
    assert_eq!(
        went,
        ["sts.eu-west-1.amazonaws.com:443"],
        "{}",
        given.stderr()
    );
    let (given, went) = run("sso");
    assert_eq!(
        went,
        ["portal.sso.eu-central-1.amazonaws.com:443"],
        "{}",
        given.stderr()
    );
    // Nobody has signed in: that is said before anything is asked.
    for (profile, how) in [
        ("new", "aws login --profile new"),
        ("out", "aws sso login --profile out"),
    ] {
        let (given, went) = run(profile);
        let text = given.exit(5).stderr();
        assert!(text.contains(how), "{text}");
        assert!(
            text.contains(&format!("profile {profile}, eu-west-1")),
            "{text}"
        );
        assert_eq!(went, Vec::<String>::new());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_from_programs_and_roles() {
    let engine = Serving::start();
    let set = engine.environment();
    let (key, secret) = (&set["AWS_ACCESS_KEY_ID"], &set["AWS_SECRET_ACCESS_KEY"]);
    let endpoint = set["AWS_ENDPOINT_URL"].as_str();
    let home = Home::new();
    let printed = json!({"Version": 1, "AccessKeyId": key, "SecretAccessKey": secret});
    let script = home.file("keys.sh", &format!("cat <<'END'\n{printed}\nEND\n"));
    let broken = home.file("broken.sh", "echo nobody is at home >&2; exit 3\n");
    let assumed = format!(
        "<AssumeRoleResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><AssumeRoleResult>\
         <Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>\
         <SessionToken></SessionToken><Expiration>2999-01-01T00:00:00Z</Expiration></Credentials>\
         <AssumedRoleUser><Arn>arn:aws:sts::472100009012:assumed-role/Ops/s</Arn>\
         <AssumedRoleId>A:s</AssumedRoleId></AssumedRoleUser></AssumeRoleResult></AssumeRoleResponse>"
    );
    let sts = Stub::answering(200, &assumed).await;
    home.config(&format!(
        "[profile program]\nregion = us-east-1\ncredential_process = sh {}\n\
         [profile broken]\nregion = us-east-1\ncredential_process = sh {}\n\
         [profile base]\naws_access_key_id = A\naws_secret_access_key = s\n\
         [profile role]\nregion = us-east-1\nsource_profile = base\n\
         role_arn = arn:aws:iam::472100009012:role/Ops\n",
        script.display(),
        broken.display()
    ));
    let set = [
        ("AWS_ENDPOINT_URL_SFN", endpoint),
        ("AWS_ENDPOINT_URL_STS", &sts.url),
    ];
    let machines = |profile: &str| home.fanout(&set, &["machines", "--json", "--profile", profile]);
    finds_machines(machines("program"));
    finds_machines(machines("role"));
    assert!(
        sts.asked()
            .iter()
            .any(|it| it.contains("RoleArn=arn%3Aaws%3Aiam%3A%3A472100009012%3Arole%2FOps"))
    );
    let text = machines("broken").exit(5).stderr();
    assert!(text.contains("profile broken, us-east-1"), "{text}");
    let text = machines("gone").exit(2).stderr();
    assert!(text.contains("no such profile"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_service_may_have_an_endpoint_of_its_own() {
    let engine = Serving::start();
    let home = Home::new();
    let url = engine.environment()["AWS_ENDPOINT_URL"].replace("127.0.0.1", "localhost");
    // A section of services, as the AWS CLI's; what S3's variable says goes before it.
    home.config(&format!(
        "{}services = here\n[services here]\nsfn =\n  endpoint_url = {url}\ns3 =\n  endpoint_url = \
         http://127.0.0.1:9\n",
        profile(&engine, "own")
    ));
    let words = home.file("words.txt", "alpha\nbeta\n");
    let set = [("AWS_ENDPOINT_URL_S3", url.as_str())];
    let own = ["--profile", "own", "--json"];
    finds_machines(home.fanout(&set, &[&["machines"], &own[..]].concat()));
    // The bucket's name must not become part of the host's.
    let start = ["start", words.to_str().unwrap(), "--yes", "--name", "first"];
    let started = home
        .fanout(&set, &[&start[..], &own[..]].concat())
        .success();
    assert_eq!(started.json()["started"][0]["name"], "first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_of_ones_own_is_trusted_where_it_is_named() {
    let engine = Serving::start();
    let url = engine.environment()["AWS_ENDPOINT_URL"].clone();
    let tls = Tls::before(url.trim_start_matches("http://")).await;
    let home = Home::new();
    let bundle = home.file("ca.pem", &tls.ca);
    let keys = profile(&engine, "corp");
    home.config(&format!(
        "{keys}[profile named]\nca_bundle = {}\n{}",
        bundle.display(),
        keys.split_once('\n').unwrap().1
    ));
    let machines = |set: &[(&str, &str)], profile: &str| {
        let arguments = [
            "machines",
            "--json",
            "--profile",
            profile,
            "--endpoint-url",
            &tls.url,
        ];
        home.fanout(set, &arguments)
    };
    let path = |path: &Path| path.to_str().unwrap().to_owned();
    let own = path(&bundle);
    finds_machines(machines(&[("AWS_CA_BUNDLE", &own)], "corp"));
    finds_machines(machines(&[], "named"));
    let text = machines(&[], "corp").exit(6).stderr();
    assert!(text.to_lowercase().contains("certificate"), "{text}");
    let odd = [
        ("", "holds no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n",
            "is no PEM",
        ),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be used",
        ),
    ];
    for (text, says) in odd {
        let bundle = path(&home.file("odd.pem", text));
        let said = machines(&[("AWS_CA_BUNDLE", &bundle)], "corp")
            .exit(2)
            .stderr();
        assert!(said.contains(says) && said.contains("odd.pem"), "{said}");
    }
    let said = machines(&[("AWS_CA_BUNDLE", "/nowhere.pem")], "corp")
        .exit(2)
        .stderr();
    assert!(
        said.contains("/nowhere.pem") && said.contains("cannot be read"),
        "{said}"
    );
    // Through a proxy, and past it where that is asked for.
    let proxy = Proxy::leading().await;
    let proxied = proxy.url();
    let set = [("AWS_CA_BUNDLE", own.as_str()), ("HTTPS_PROXY", &proxied)];
    finds_machines(machines(&set, "corp"));
    let host = tls.url.trim_start_matches("https://");
    assert_eq!(proxy.taken(), [host]);
    let past = [&set[..], &[("NO_PROXY", "localhost")]].concat();
    finds_machines(machines(&past, "corp"));
    assert_eq!(proxy.taken(), Vec::<String>::new());
}

/// A verb against a service that always refuses.
async fn refused(status: u16, code: &str, text: &str, arguments: &[&str]) -> Given {
    let body = json!({"__type": format!("x#{code}"), "message": text}).to_string();
    let stub = Stub::answering(status, &body).await;
    let home = Home::new();
    home.config("[profile prod]\nregion = eu-west-1\n");
    let set = with(&[("AWS_ENDPOINT_URL", &stub.url)]);
    home.fanout(&set, &[arguments, &["--profile", "prod"]].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_session_is_said_with_what_to_do() {
    let run = "arn:aws:states:eu-west-1:472100009012:execution:Files:run-7";
    let denied = format!(
        "User: arn:aws:sts::472100009012:assumed-role/Ops/me is not authorized to perform: \
         states:DescribeExecution on resource: {run} because no identity-based policy allows the \
         states:DescribeExecution action"
    );
    let text = refused(400, "AccessDeniedException", &denied, &["wait", run]).await;
    let text = text.exit(5).stderr();
    let statement =
        json!({"Effect": "Allow", "Action": ["states:DescribeExecution"], "Resource": [run]});
    assert!(text.contains(&statement.to_string()), "{text}");
    assert!(
        text.contains("profile prod, eu-west-1, account 472100009012"),
        "{text}"
    );
    let expired = "The security token included in the request is expired";
    let text = refused(400, "ExpiredTokenException", expired, &["machines"]).await;
    let text = text.exit(5).stderr();
    assert!(text.contains("aws sso login --profile prod"), "{text}");
    let elsewhere = run.replace("eu-west-1", "us-west-2");
    let text = refused(400, "InvalidArn", "Invalid Arn", &["wait", &elsewhere]).await;
    let text = text.exit(4).stderr();
    assert!(text.contains("--region us-west-2"), "{text}");
}

#[test]
fn a_name_that_is_nearly_right_is_told() {
    let engine = Serving::start();
    let text = engine.fanout(&["check", "fanuot"]).exit(4).stderr();
    assert!(text.contains("did you mean fanout"), "{text}");
}
