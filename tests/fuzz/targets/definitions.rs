//! A definition, and after a zero byte the input of an execution. Whatever is accepted is stepped,
//! with every timer going off and every call answered with the input.

#![no_main]

use fanout::engine::definition::Definition;
use fanout::engine::machine::{Execution, Identity, Input, Machine, step};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};

/// Loops are legal: an execution may take steps for ever.
const STEPS: usize = 100;

fuzz_target!(|data: &[u8]| {
    let mut halves = data.splitn(2, |byte| *byte == 0);
    let Ok(text) = std::str::from_utf8(halves.next().unwrap_or_default()) else {
        return;
    };
    let Ok(definition) = Definition::parse(text) else {
        return;
    };
    let input: Value = serde_json::from_slice(halves.next().unwrap_or_default())
        .unwrap_or_else(|_| json!({"n": 1, "items": [1, "two", null], "flag": true}));
    let identity: Identity = serde_json::from_value(json!({
        "id": "arn:aws:states:us-east-1:000000000000:execution:m:e",
        "name": "e",
        "role": "arn:aws:iam::000000000000:role/r",
        "machine_id": "arn:aws:states:us-east-1:000000000000:stateMachine:m",
        "machine_name": "m",
        "started": 0,
    }))
    .expect("an identity");
    let machine = Machine {
        scope: &definition.scope,
        timeout_seconds: definition.timeout_seconds,
        identity: &identity,
        input: &input,
        record: true,
    };
    let mut execution = Execution::default();
    let mut events = 0;
    let mut inputs = vec![Input::Start];
    let mut token = 0;
    for now in 0..STEPS {
        let Some(next) = inputs.pop() else { break };
        let step = step(&machine, &mut execution, next, now as i64);
        for event in &step.events {
            events += 1;
            assert_eq!(event.id, events, "ids without gaps");
            let _ = event.to_json();
        }
        // What is stored must be read again as it was.
        let stored = serde_json::to_vec(&execution).expect("an execution can be stored");
        let read: Execution = serde_json::from_slice(&stored).expect("and read");
        assert_eq!(read, execution);
        if step.outcome.is_some() {
            break;
        }
        // Tokens are counted up, so that these meet whatever waits.
        token += 1;
        inputs.push(Input::TimerFired { token });
        inputs.push(Input::TaskEnded { token, result: Ok(input.clone()) });
    }
});
