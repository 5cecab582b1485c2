//! List prices that estimates are made with.

use serde::{Deserialize, Serialize};

/// US dollars, without free tiers and discounts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// When they were written down, `YYYY-MM-DD`.
    pub date: String,
    /// Names of the pages they are from.
    pub sources: Vec<String>,
    pub step_functions: StepFunctions,
    pub lambda: Lambda,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepFunctions {
    /// Of Standard workflows.
    pub transitions_per_1000: f64,
    #[serde(rename = "express_requests_per_1000000")]
    pub express_requests_per_million: f64,
    pub express_gb_second: f64,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lambda {
    #[serde(rename = "requests_per_1000000")]
    pub requests_per_million: f64,
    pub gb_second: f64,
}

impl Prices {
    /// The first price that is no price, by its name.
    pub fn problem(&self) -> Option<&'static str> {
        let functions = &self.step_functions;
        [
            (
                "step_functions.transitions_per_1000",
                functions.transitions_per_1000,
            ),
            (
                "step_functions.express_requests_per_1000000",
                functions.express_requests_per_million,
            ),
            (
                "step_functions.express_gb_second",
                functions.express_gb_second,
            ),
            (
                "lambda.requests_per_1000000",
                self.lambda.requests_per_million,
            ),
            ("lambda.gb_second", self.lambda.gb_second),
        ]
        .into_iter()
        .find(|(_, price)| !price.is_finite() || *price < 0.0)
        .map(|(name, _)| name)
    }
}
