//! What a Lambda ARN runs. Only built-in functions so far: closures in this process.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use futures::future::BoxFuture;
use serde_json::Value;

/// A function's failure, as Lambda reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// What `ErrorEquals` matches.
    pub error_type: String,
    pub message: String,
}

/// What runs a function.
pub type Function =
    Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, FunctionError>> + Send + Sync>;

/// Functions by name, as used in `FunctionName` or at the end of a function ARN.
#[derive(Clone, Default)]
pub struct Functions {
    by_name: Arc<RwLock<HashMap<String, Function>>>,
}

impl Functions {
    pub fn register<F>(&self, name: &str, function: F)
    where
        F: Fn(Value) -> BoxFuture<'static, Result<Value, FunctionError>> + Send + Sync + 'static,
    {
        let mut by_name = self
            .by_name
            .write()
            .expect("no function panics while registering");
        by_name.insert(name.to_owned(), Arc::new(function));
    }

    /// `name` may be a name, `name:qualifier`, or a function ARN with or without qualifier.
    pub fn get(&self, name: &str) -> Option<Function> {
        let parts: Vec<&str> = name.split(':').collect();
        let (["arn", _, "lambda", _, _, "function", bare, ..] | [bare, ..]) = parts.as_slice()
        else {
            return None;
        };
        let by_name = self
            .by_name
            .read()
            .expect("no function panics while registering");
        by_name.get(*bare).cloned()
    }
}
