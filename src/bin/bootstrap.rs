//! The workflow's handlers as a Lambda custom runtime: one program for all three functions, told
//! apart by `_HANDLER` (`fanout-preprocess`, `fanout-worker` or `fanout-postprocess`).

use fanout::client::{Client, Options, Target};
use fanout::workflow::{Context, handle};
use lambda_runtime::{Diagnostic, Error, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Error> {
    let function = std::env::var("_HANDLER")?;
    let target = Target::Aws {
        profile: None,
        region: None,
        endpoint_url: None,
    };
    let options = Options {
        read_only: false,
        budget_share: 1.0,
        trail: None,
        shared_in: None,
    };
    let mut context = Context::new(Client::connect(target, options).await?);
    if let Ok(url) = std::env::var("FANOUT_DEFAULT_URL") {
        context = context.with_default_url(url);
    }

    let (function, context) = (&function, &context);
    lambda_runtime::run(service_fn(async |event: LambdaEvent<Value>| {
        // The name is what the definition's ErrorEquals matches.
        handle(context, function, event.payload)
            .await
            .map_err(|error| Diagnostic {
                error_type: error.name.to_owned(),
                error_message: error.message,
            })
    }))
    .await
}
