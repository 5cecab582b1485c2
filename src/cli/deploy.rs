//! `deploy --print`: the shipped workflow for an AWS account, as two files and a script. Nothing is
//! asked of AWS.

use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::Path;

use serde_json::json;

use crate::cli::args::Global;
use crate::cli::args::deploy::Deploy;
use crate::cli::exit::{Error, Exit};
use crate::cli::output::{Output, VERSION};
use crate::cli::session::settings;
use crate::client::{Profile, profile_in_force, profiles, shell_word};
use crate::model::Prices;
use crate::workflow;

const TEMPLATE: &str = include_str!("../../assets/template.yaml");
/// Where the template takes the definition from, until it is packaged.
const FROM_BUCKET: &str = "      DefinitionS3Location:
        Bucket: !Ref CodeBucket
        Key: !Sub ${CodePrefix}/workflow.asl.json
";
const FILES: [&str; 2] = ["template.yaml", "workflow.asl.json"];

/// The worked example: how long a worker waits for its service, and its memory in the template.
const WORKER_SECONDS: f64 = 0.2;
const WORKER_GB: f64 = 256.0 / 1_024.0;
/// An Express execution of it: billed by 100 ms begun, at least 64 MB.
const EXPRESS_SECONDS: f64 = 0.3;
const EXPRESS_GB: f64 = 64.0 / 1_024.0;

pub async fn run(deploy: &Deploy, global: &Global, out: &mut Output) -> Result<Exit, Error> {
    let config = settings(global)?.config;
    let profile = config.profile.clone().or_else(profile_in_force);
    let set = |name: &str| std::env::var(name).ok();
    let region = region(
        [
            config.region.clone(),
            set("AWS_REGION"),
            set("AWS_DEFAULT_REGION"),
        ],
        &profiles().await,
        profile.as_deref(),
    );
    let Some(region) = region else {
        return Err(
            Error::usage("no Region: it is not known where to deploy to")
                .hint("give --region, or set AWS_REGION or the profile's region"),
        );
    };
    let place = Place { region, profile };
    let script = place.script(deploy, &config.prices);
    let contents = [packaged(), workflow::DEFINITION.to_owned()];
    write(&deploy.out, &contents)?;
    if out.is_text() {
        out.raw(script.as_bytes())?;
        return Ok(Exit::Done);
    }
    let files = FILES.map(|name| deploy.out.join(name));
    out.document(&json!({
        "version": VERSION,
        "region": place.region,
        "profile": place.profile,
        "stack": deploy.stack,
        "files": files,
        "script": script,
    }))?;
    Ok(Exit::Done)
}

/// The first that is given, else the profile's.
fn region(
    given: [Option<String>; 3],
    profiles: &[Profile],
    profile: Option<&str>,
) -> Option<String> {
    let given = given.into_iter().flatten().find(|name| !name.is_empty());
    let name = profile.unwrap_or("default");
    let of_profile = || profiles.iter().find(|it| it.name == name)?.region.clone();
    given.or_else(of_profile)
}

/// The template with the definition in it, as `aws cloudformation package` has it in a bucket.
fn packaged() -> String {
    let mut inlined = "      DefinitionString: |\n".to_owned();
    for line in workflow::DEFINITION.lines() {
        inlined += &format!("        {line}\n");
    }
    TEMPLATE.replace(FROM_BUCKET, &inlined)
}

/// Writes the files; one that is there with the same content is left as it is.
///
/// # Errors
/// `Refused` where one is there with other content, before anything is written.
fn write(folder: &Path, contents: &[String; 2]) -> Result<(), Error> {
    let unusable = |path: &Path, error: &std::io::Error| {
        Error::refused(format!("{} cannot be written: {error}", path.display()))
    };
    let mut missing = Vec::new();
    for (name, content) in FILES.iter().zip(contents) {
        let path = folder.join(name);
        match fs::read(&path) {
            Ok(there) if there == content.as_bytes() => {}
            Ok(_) => {
                let text = format!("{} is there with other content", path.display());
                return Err(
                    Error::refused(text).hint("nothing was written: give another folder as --out")
                );
            }
            Err(error) if error.kind() == ErrorKind::NotFound => missing.push((path, content)),
            Err(error) => return Err(unusable(&path, &error)),
        }
    }
    fs::create_dir_all(folder).map_err(|error| unusable(folder, &error))?;
    for (path, content) in missing {
        let written =
            fs::File::create_new(&path).and_then(|mut file| file.write_all(content.as_bytes()));
        written.map_err(|error| unusable(&path, &error))?;
    }
    Ok(())
}

/// Where to deploy to.
struct Place {
    region: String,
    profile: Option<String>,
}

impl Place {
    /// What is left to do. Run again it changes what has changed.
    fn script(&self, deploy: &Deploy, prices: &Prices) -> String {
        let mut aws = format!("aws --region {}", shell_word(&self.region));
        if let Some(profile) = &self.profile {
            aws += &format!(" --profile {}", shell_word(profile));
        }
        let architecture = deploy.architecture.name();
        let bootstrap = deploy.bootstrap.clone().unwrap_or_else(|| {
            let name = format!("bootstrap-{architecture}.zip");
            let released = Path::new("lambda").join(&name);
            match released.exists() {
                true => released,
                false => Path::new("target/lambda").join(name),
            }
        });
        let bootstrap = bootstrap.display().to_string();
        let bootstrap = shell_word(&bootstrap);
        let template = shell_word(&deploy.out.join(FILES[0]).display().to_string());
        let bucket = match &deploy.code_bucket {
            Some(bucket) => shell_word(bucket),
            None => format!(
                "fanout-code-$({aws} sts get-caller-identity --query Account --output text)-{}",
                shell_word(&self.region)
            ),
        };
        let stack = &deploy.stack;
        let version = env!("CARGO_PKG_VERSION");
        let dollars = per_million(prices);
        let date = &prices.date;
        format!(
            "\
#!/bin/sh
# The workflow of fanout {version} to AWS, {region}. Read it, then give it to sh.
# 1,000,000 lines of {WORKER_SECONDS} s each cost about ${dollars:.2}: Step Functions and Lambda at the list
# prices of {date} in us-east-1, logs and storage aside; ${transitions:.0} more should AWS count the start of
# each child as a state transition, which its price list leaves open. Unused it costs next to nothing.
# What it writes to stdout is the bucket for files, for `bucket` in the settings or FANOUT_BUCKET.
set -eu
exec 3>&1 1>&2

# The Lambda program: releases have it in lambda/, the repository makes it.
test -f {bootstrap} || .ci/bootstrap {architecture} || {{
  echo 'no Lambda program: run this where fanout was built or unpacked, or deploy with --bootstrap FILE'
  exit 1
}}

# A bucket for it. Each build has its own folder, as CloudFormation does not look into objects.
bucket={bucket}
prefix=fanout/{version}-$(cksum < {bootstrap} | tr -s ' \\t' '--')
{aws} s3api head-bucket --bucket \"$bucket\" > /dev/null 2>&1 || {aws} s3 mb \"s3://$bucket\"
{aws} s3 cp --no-progress {bootstrap} \"s3://$bucket/$prefix/bootstrap.zip\"

# State machine, functions, roles, alarms, and the bucket for files.
{aws} cloudformation deploy --stack-name {stack} --template-file {template} \\
  --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset --parameter-overrides \\
  CodeBucket=\"$bucket\" CodePrefix=\"$prefix\" Architecture={architecture}

{aws} cloudformation describe-stacks --stack-name {stack} --output text \\
  --query \"Stacks[0].Outputs[?OutputKey=='BucketName'].OutputValue\" >&3
",
            transitions = 1_000.0 * prices.step_functions.transitions_per_1000,
            region = self.region,
        )
    }
}

/// Dollars for a million lines of the worked example.
fn per_million(prices: &Prices) -> f64 {
    let (functions, lambda) = (&prices.step_functions, &prices.lambda);
    let express = EXPRESS_SECONDS * EXPRESS_GB * functions.express_gb_second;
    let worker = WORKER_SECONDS * WORKER_GB * lambda.gb_second;
    functions.express_requests_per_million + lambda.requests_per_million + 1e6 * (express + worker)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::args::{Cli, Verb};
    use crate::config::Config;

    fn deploy(flags: &[&str]) -> Deploy {
        let words = ["fanout", "deploy", "--print"].iter().chain(flags);
        match Cli::try_parse_from(words).unwrap().verb {
            Some(Verb::Deploy(deploy)) => deploy,
            _ => panic!("another verb"),
        }
    }

    fn prices() -> Prices {
        let none = |_: &str| None;
        Config::load(None, true, none).unwrap().config.prices
    }

    #[test]
    fn the_definition_is_in_the_template_and_fits_into_a_request() {
        let packaged = packaged();
        assert!(!packaged.contains("DefinitionS3Location"));
        // CloudFormation's limit for a template that is no object.
        assert!(packaged.len() < 51_200, "{} bytes", packaged.len());
        let block = packaged.split("DefinitionString: |\n").nth(1).unwrap();
        let lines = block
            .lines()
            .map_while(|line| line.strip_prefix("        "));
        let definition: serde_json::Value =
            serde_json::from_str(&lines.collect::<String>()).unwrap();
        let ours: serde_json::Value = serde_json::from_str(workflow::DEFINITION).unwrap();
        assert_eq!(definition, ours);
    }

    #[test]
    fn the_region_is_what_every_aws_tool_would_take() {
        let known = [("default", "a-1"), ("work", "b-2")].map(|(name, region)| Profile {
            name: name.to_owned(),
            region: Some(region.to_owned()),
            ..Profile::default()
        });
        let given = |text: &str| [None, Some(text.to_owned()), None];
        assert_eq!(region(given("c-3"), &known, None).as_deref(), Some("c-3"));
        assert_eq!(region(given(""), &known, None).as_deref(), Some("a-1"));
        assert_eq!(
            region([const { None }; 3], &known, Some("work")).as_deref(),
            Some("b-2")
        );
        assert_eq!(region([const { None }; 3], &known, Some("none")), None);
    }

    #[test]
    fn names_are_words_of_the_shell_whatever_is_in_them() {
        let place = Place {
            region: "eu-west-1".to_owned(),
            profile: Some("my profile".to_owned()),
        };
        let flags = ["--bootstrap", "a b.zip", "--out", "o'o", "--stack", "two"];
        let script = place.script(&deploy(&flags), &prices());
        for part in [
            "--profile 'my profile'",
            "cksum < 'a b.zip'",
            r"--template-file 'o'\''o/template.yaml'",
            "--stack-name two",
            "Architecture=x86_64",
        ] {
            assert!(script.contains(part), "{part}: {script}");
        }
    }

    #[test]
    fn the_worked_example_is_what_the_readme_says_and_the_price_list_gives() {
        let prices = prices();
        // Step Functions: requests, then GB-seconds. Lambda: the same.
        let parts = [1.00, 18_750.0 * 16.67e-6, 0.20, 50_000.0 * 16.6667e-6];
        let dollars = per_million(&prices);
        assert!(
            (dollars - parts.iter().sum::<f64>()).abs() < 1e-9,
            "{dollars}"
        );
        let readme = include_str!("../../README.md");
        for said in [format!("about ${dollars:.2}"), prices.date] {
            assert!(readme.contains(&said), "{said} is not in the README");
        }
        let worker = TEMPLATE
            .split("FunctionName: fanout-worker")
            .nth(1)
            .unwrap();
        let memory = worker.split("MemorySize: ").nth(1).unwrap();
        let memory: f64 = memory.lines().next().unwrap().parse().unwrap();
        assert!((memory / 1_024.0 - WORKER_GB).abs() < 1e-9, "{memory}");
    }

    #[test]
    fn a_file_of_another_content_is_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let ours = ["one".to_owned(), "two".to_owned()];
        write(folder.path(), &ours).unwrap();
        write(folder.path(), &ours).unwrap();
        let path = folder.path().join(FILES[1]);
        fs::write(&path, "mine").unwrap();
        let error = write(folder.path(), &ours).unwrap_err();
        assert!(error.text.contains(FILES[1]), "{}", error.text);
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }
}
