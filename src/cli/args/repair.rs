//! Flags of the verbs that repair runs.

use std::path::PathBuf;

use clap::Args;

use super::{TimeLimit, percent};
use crate::model::Limits;

#[derive(Debug, Args)]
pub struct Redrive {
    #[arg(required = true, value_name = "RUN")]
    pub runs: Vec<String>,
    /// Show what would run and what stands against it; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Write the plan into a new file for `fanout apply`; change nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["dry_run", "wait"])]
    pub plan: Option<PathBuf>,
    #[command(flatten)]
    pub again: Again,
    /// Wait for the end
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub limit: TimeLimit,
}

/// What is set on a Map Run that runs again.
#[derive(Debug, Clone, Args)]
pub struct Again {
    /// Children at once; 0 is the service's own maximum
    #[arg(long, value_name = "N")]
    pub concurrency: Option<u64>,
    /// Stop again when more than this share of the items fails, such as 5%
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub tolerate: Option<f64>,
    /// Why, for the records
    #[arg(long, value_name = "TEXT")]
    pub note: Option<String>,
}

impl Again {
    pub fn limits(&self) -> Limits {
        Limits {
            max_concurrency: self.concurrency,
            tolerated_percentage: self.tolerate,
            tolerated_count: None,
        }
    }
}

#[derive(Debug, Args)]
pub struct Apply {
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Make the plan anew, show it and what has changed; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Wait for the end
    #[arg(long)]
    pub wait: bool,
    #[command(flatten)]
    pub limit: TimeLimit,
}
