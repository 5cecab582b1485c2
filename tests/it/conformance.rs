//! The engine beside the rules of AWS Step Functions, each case asked through the AWS SDK. A case
//! is named for its rule, and its comment names the page of the AWS documentation that has it.

mod control;
mod items;
mod limits;
mod map_runs;
mod nested;
mod pages;
mod python;
mod redrive;
mod results;
mod starts;
mod stop;
mod tokens;
