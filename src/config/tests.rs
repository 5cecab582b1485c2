use proptest::prelude::*;

use super::*;

const EXAMPLE: &str = include_str!("../../config.example.toml");

fn nothing(_: &str) -> Option<String> {
    None
}

/// Settings of this file and these variables.
fn load(text: &str, variables: &[(&str, &str)]) -> Result<Loaded, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config.toml");
    std::fs::write(&path, text).unwrap();
    let env = |name: &str| {
        let found = variables.iter().find(|(variable, _)| *variable == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::load(Some(&path), false, env).map_err(|error| {
        let folder = format!("{}/", folder.path().display());
        error.to_string().replace(&folder, "")
    })
}

fn problem(text: &str) -> String {
    load(text, &[]).unwrap_err()
}

#[test]
fn without_anything_the_defaults() {
    let loaded = Config::load(None, true, nothing).unwrap();
    assert_eq!(loaded.config, Config::default());
    assert_eq!(loaded.file, None);
    assert!(loaded.origins.values().all(|it| *it == Origin::Default));
}

#[test]
fn the_environment_goes_over_the_file() {
    let text = "# mine\nbucket = \"from-file\"\nread_only = true\nbudget_share = 1\n";
    let loaded = load(
        text,
        &[("FANOUT_BUCKET", "from-env"), ("FANOUT_LOCAL", "1")],
    )
    .unwrap();
    assert_eq!(loaded.config.bucket, "from-env");
    assert!(loaded.config.read_only && loaded.config.local);
    assert!((loaded.config.budget_share - 1.0).abs() < f64::EPSILON);
    assert_eq!(
        loaded.origins["bucket"],
        Origin::Environment("FANOUT_BUCKET")
    );
    assert_eq!(loaded.origins["read_only"], Origin::File { line: 3 });
    assert_eq!(loaded.origins["machine"], Origin::Default);
}

#[test]
fn an_empty_variable_is_not_set() {
    let loaded = load("local = true", &[("FANOUT_LOCAL", ""), ("AWS_PROFILE", "")]).unwrap();
    assert!(loaded.config.local);
}

#[test]
fn the_sdk_keeps_its_variables() {
    let text = "profile = \"a\"\nregion = \"eu-west-1\"\nendpoint_url = \"http://x\"\n";
    let loaded = load(text, &[("AWS_PROFILE", "b"), ("AWS_DEFAULT_REGION", "c")]).unwrap();
    assert_eq!(loaded.config.profile, None);
    assert_eq!(loaded.config.region, None);
    assert_eq!(loaded.config.endpoint_url.as_deref(), Some("http://x"));
    assert_eq!(
        loaded.origins["profile"],
        Origin::Environment("AWS_PROFILE")
    );
}

#[test]
fn a_broken_rule_names_file_line_key_and_value() {
    assert_eq!(
        problem("\n\nbudget_share = 7"),
        "config.toml:3: budget_share must be between 0.05 and 1, not 7"
    );
    assert_eq!(
        problem("local = \"yes\""),
        "config.toml:1: local must be true or false, not \"yes\""
    );
    assert_eq!(
        problem("budget_share = nan"),
        "config.toml:1: budget_share must be between 0.05 and 1, not NaN"
    );
    assert_eq!(
        problem("machine = \" \""),
        "config.toml:1: machine must be something, not \" \""
    );
    assert_eq!(
        problem("endpoint_url = \"localhost:4566\""),
        "config.toml:1: endpoint_url must be an address that begins with http:// or https://, \
         not \"localhost:4566\""
    );
    assert!(problem("bucket = \"My_Bucket\"").contains("bucket must be a bucket's name"));
    assert!(problem("data_dir = 3").ends_with("data_dir must be a folder in quotes, not 3"));
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest() {
    assert_eq!(
        problem("ascii = true\nread-only = true"),
        "config.toml:2: there is no setting \"read-only\"; did you mean read_only?"
    );
    assert!(problem("colour = 1").contains("there are profile, region"));
    assert!(problem("[aws]\nprofile = \"x\"").starts_with("config.toml:1: "));
}

#[test]
fn functions_are_programs_or_urls_with_lambdas_defaults() {
    let text = "local = true\n\
        [functions.score]\ncommand = [\"./bootstrap\", \"-v\"]\n\
        [functions.rate]\nurl = \"http://127.0.0.1:9000/rate\"\ntimeout = 60\nconcurrency = 5\n\
        [functions.sum]\ncommand = [\"python3\", \"-m\", \"awslambdaric\", \"app.sum\"]\n\
        folder = \"/srv/sum\"\nhandler = \"app.sum\"\nmemory = 512\ninstances = 4\n\
        environment = { STAGE = \"test\" }\n";
    let config = load(text, &[]).unwrap().config;
    let names: Vec<&String> = config.functions.keys().collect();
    assert_eq!(names, ["rate", "score", "sum"]);
    let Code::Program(score) = &config.functions["score"].code else {
        panic!("a program")
    };
    assert_eq!(score.command, ["./bootstrap", "-v"]);
    assert!(
        score.folder.is_absolute(),
        "the file's folder: {}",
        score.folder.display()
    );
    assert_eq!(
        (
            score.memory,
            score.instances,
            config.functions["score"].timeout
        ),
        (128, None, 3)
    );
    let rate = &config.functions["rate"];
    assert_eq!((rate.timeout, rate.concurrency), (60, Some(5)));
    assert_eq!(
        rate.code,
        Code::Url {
            url: "http://127.0.0.1:9000/rate".to_owned()
        }
    );
    let Code::Program(sum) = &config.functions["sum"].code else {
        panic!("a program")
    };
    assert_eq!(
        (sum.folder.as_path(), sum.memory),
        (Path::new("/srv/sum"), 512)
    );
    assert_eq!(
        (sum.instances, sum.environment["STAGE"].as_str()),
        (Some(4), "test")
    );
}

#[test]
fn a_bad_function_names_file_line_and_rule() {
    for (lines, expected) in [
        ("", "1: functions.f must have either command or url"),
        (
            "command = [\"a\"]\nurl = \"http://a\"",
            "1: functions.f must have either command or url",
        ),
        (
            "command = []",
            "2: functions.f.command must be a program and its arguments, like [\"./bootstrap\"]",
        ),
        (
            "command = [\"a\"]\ntimeout = 901",
            "3: functions.f.timeout must be seconds, 1 to 900",
        ),
        (
            "command = [\"a\"]\nmemory = 64",
            "3: functions.f.memory must be MB, 128 to 10240",
        ),
        (
            "command = [\"a\"]\ninstances = \"2\"",
            "3: functions.f.instances must be processes, 1 to 1000",
        ),
        (
            "command = [\"a\"]\nfolder = \"\"",
            "3: functions.f.folder must be a text in quotes",
        ),
        (
            "command = [\"a\"]\nenvironment = { AWS_REGION = \"x\" }",
            "3: functions.f.environment must be without AWS_REGION, which Lambda sets itself",
        ),
        (
            "command = [\"a\"]\nenvironment = { A = 1 }",
            "3: functions.f.environment must be variables and their texts, like { STAGE = \"test\" }",
        ),
        (
            "url = \"127.0.0.1\"",
            "2: functions.f.url must be an address that begins with http:// or https://",
        ),
        (
            "url = \"http://a\"\nhandler = \"x\"",
            "3: functions.f.handler must be absent where there is a url",
        ),
    ] {
        assert_eq!(
            problem(&format!("[functions.f]\n{lines}")),
            format!("config.toml:{expected}")
        );
    }
    assert!(
        problem("[functions.f]\ntimeouts = 3")
            .starts_with("config.toml:2: functions.f.timeouts: there is no such setting")
    );
    assert!(
        problem("[functions.\"a b\"]\nurl = \"http://a\"").contains("must be a function's name")
    );
    assert!(problem("functions = 3").starts_with("config.toml:1: functions: "));
}

#[test]
fn a_malformed_file_names_the_line() {
    assert!(problem("local = true\nascii = maybe\n").starts_with("config.toml:2: "));
    assert!(problem("local = true\nlocal = true\n").starts_with("config.toml:2: "));
}

#[test]
fn a_variable_is_named_in_its_error() {
    let error = load("", &[("FANOUT_READ_ONLY", "perhaps")]).unwrap_err();
    assert_eq!(
        error,
        "FANOUT_READ_ONLY: read_only must be true or false, not \"perhaps\""
    );
    let error = load("", &[("FANOUT_BUDGET_SHARE", "0")]).unwrap_err();
    assert_eq!(
        error,
        "FANOUT_BUDGET_SHARE: budget_share must be between 0.05 and 1, not 0"
    );
}

#[test]
fn a_file_that_was_asked_for_must_exist() {
    let error = Config::load(Some(Path::new("/nowhere/fanout.toml")), false, nothing);
    let text = error.unwrap_err().to_string();
    assert!(text.starts_with("/nowhere/fanout.toml: "), "{text}");
}

#[test]
fn the_engines_folder_is_the_given_one() {
    let loaded = load("data_dir = \"/a\"", &[("FANOUT_DATA_DIR", "/b")]).unwrap();
    assert_eq!(loaded.config.engine_dir(), Ok(PathBuf::from("/b")));
}

#[test]
fn the_table_has_every_field_once() {
    // Fields that are absent are left out of TOML, so they are filled first.
    let full = Config {
        profile: Some("p".to_owned()),
        region: Some("r".to_owned()),
        endpoint_url: Some("http://x".to_owned()),
        data_dir: Some(PathBuf::from("d")),
        ..Config::default()
    };
    let fields = toml::Table::try_from(&full).unwrap();
    let mut fields: Vec<&str> = fields.keys().map(String::as_str).collect();
    let mut keys: Vec<&str> = SETTINGS.iter().map(|setting| setting.key).collect();
    fields.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, fields);
    let loaded = load(&toml::to_string(&full).unwrap(), &[]).unwrap();
    assert_eq!(loaded.config, full);
}

#[test]
fn the_example_is_the_defaults_and_shows_every_key() {
    assert_eq!(load(EXAMPLE, &[]).unwrap().config, Config::default());
    for setting in SETTINGS {
        // One without a default is shown as a comment.
        let shown = EXAMPLE
            .lines()
            .filter_map(|line| line.trim_start_matches("# ").split_once(" = "))
            .any(|(key, _)| key == setting.key);
        assert!(shown, "{} is not in config.example.toml", setting.key);
        if let Some(variable) = setting.variable {
            assert!(EXAMPLE.contains(variable), "{variable} is not mentioned");
        }
    }
}

#[test]
fn the_examples_comments_are_settings_too() {
    let uncommented: String = EXAMPLE
        .lines()
        .map(|line| match line.strip_prefix("# ") {
            Some(rest)
                if SETTINGS
                    .iter()
                    .any(|it| rest.starts_with(&format!("{} = ", it.key))) =>
            {
                format!("{rest}\n")
            }
            _ => format!("{line}\n"),
        })
        .collect();
    let loaded = load(&uncommented, &[]).unwrap();
    assert!(loaded.config.profile.is_some() && loaded.config.data_dir.is_some());
}

proptest! {
    /// Whatever the file says, it is read or refused with its name and a line that it has.
    #[test]
    fn no_file_is_too_strange(
        text in "(\\PC|\n|(local|bucket|budget_share|functions.f.url|functions.f.timeout|x) ?= ?(true|1|\"a\"|nan)?\n){0,12}"
    ) {
        let mut loaded = Config::load(None, true, nothing).unwrap();
        let read = file::apply(&mut loaded, Path::new("f"), &text);
        if let Err(error) = read {
            let Error::Line { line, .. } = error else {
                return Err(TestCaseError::fail(error.to_string()));
            };
            prop_assert!((1..=text.matches('\n').count() + 1).contains(&line));
        }
    }
}
