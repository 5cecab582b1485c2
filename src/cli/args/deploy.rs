//! Arguments of `deploy`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub struct Deploy {
    /// Print what is left to do, as a script for a POSIX shell
    #[arg(long, required = true)]
    pub print: bool,
    /// Folder for template.yaml and workflow.asl.json; made if it is not there
    #[arg(long, value_name = "FOLDER", default_value = "fanout-aws")]
    pub out: PathBuf,
    /// Lambda program, zipped [default: bootstrap-ARCHITECTURE.zip in lambda, as releases have it, or
    /// in target/lambda, as .ci/bootstrap makes it]
    #[arg(long, value_name = "FILE")]
    pub bootstrap: Option<PathBuf>,
    /// Processor that it was built for
    #[arg(long, value_enum, default_value_t = Architecture::X86_64)]
    pub architecture: Architecture,
    /// Bucket for the program [default: fanout-code-ACCOUNT-REGION]
    #[arg(long, value_name = "BUCKET")]
    pub code_bucket: Option<String>,
    /// Name of the CloudFormation stack
    #[arg(long, value_name = "NAME", default_value = "fanout", value_parser = stack)]
    pub stack: String,
}

/// As Lambda names them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Architecture {
    #[value(name = "x86_64")]
    X86_64,
    Arm64,
}

impl Architecture {
    pub fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Arm64 => "arm64",
        }
    }
}

/// CloudFormation's rule for names.
fn stack(text: &str) -> Result<String, String> {
    let fits = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.len() <= 128
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    match fits {
        true => Ok(text.to_owned()),
        false => Err("give a letter, then letters, digits and hyphens, at most 128".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stack_has_a_name_that_cloudformation_takes() {
        assert_eq!(stack("fanout-2"), Ok("fanout-2".to_owned()));
        for odd in ["", "2nd", "a_b", "a b", "-a", "é", &"a".repeat(129)] {
            assert!(stack(odd).is_err(), "{odd}");
        }
    }
}
