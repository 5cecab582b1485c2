//! A definition, and after an empty line the input of an execution. Whatever is accepted is stepped
//! for a while, the same bytes saying how each call, timer and Map Run ends.

#![no_main]

use std::collections::VecDeque;
use std::sync::Arc;

use fanout::engine::definition::{ChildKind, Definition, Scope};
use fanout::engine::machine::{
    Command, Execution, Failure, Identity, Input, Machine, Outcome, exceeds_depth, owed, step,
};
use libfuzzer_sys::{Corpus, fuzz_target};
use serde_json::{Value, json};

/// Loops are legal: an execution may take steps for ever.
const STEPS: usize = 60;
/// Redrives of an execution that has failed.
const REDRIVES: usize = 2;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let (definition, input) = text.split_once("\n\n").unwrap_or((text, ""));
    let _ = Definition::check(definition, ChildKind::Express);
    let Ok(definition) = Definition::parse(definition) else {
        return Corpus::Keep;
    };
    let input = serde_json::from_str(input)
        .ok()
        .filter(|input| !exceeds_depth(input))
        .unwrap_or_else(|| json!({"n": 1, "items": [1, "two", null], "flag": true}));
    let drive = Drive {
        definition: &definition,
        choices: data,
    };
    drive.run(
        &definition.scope,
        definition.timeout_seconds,
        Arc::new(input),
        0,
    );
    Corpus::Keep
});

struct Drive<'d> {
    definition: &'d Definition,
    choices: &'d [u8],
}

impl Drive<'_> {
    fn run(&self, scope: &Scope, timeout_seconds: Option<u64>, input: Arc<Value>, depth: usize) {
        let identity = Identity {
            id: "arn:aws:states:us-east-1:000000000000:execution:m:e".to_owned(),
            name: "e".to_owned(),
            role: "arn:aws:iam::000000000000:role/r".to_owned(),
            machine_id: "arn:aws:states:us-east-1:000000000000:stateMachine:m".to_owned(),
            machine_name: "m".to_owned(),
            started: 1_700_000_000_000,
            nonce: "n".to_owned(),
        };
        let machine = Machine {
            scope,
            timeout_seconds,
            identity: &identity,
            input: &input,
            context: None,
            record: true,
        };
        let mut execution = Execution::default();
        let mut inputs = VecDeque::from([Input::Start]);
        let (mut events, mut redrives) = (0, 0);
        for number in 0..STEPS {
            let choice = self.choices[self.choices.len() - 1 - number % self.choices.len()];
            // Not always in turn: answers overtake each other.
            let next = match choice % 3 {
                0 => inputs.pop_back(),
                _ => inputs.pop_front(),
            };
            let next = next.unwrap_or_else(|| Input::Stop {
                error: Some("stopped".to_owned()),
                cause: None,
            });
            let now = identity.started + number as i64 * 1_000;
            let step = step(&machine, &mut execution, next, now);
            for event in &step.events {
                events += 1;
                assert_eq!(event.id, events, "numbers without gaps");
                assert!(event.previous < event.id, "an event follows an earlier one");
                let _ = event.to_json();
            }
            assert_eq!(execution.events(), events);
            // What is stored must be read again as it was.
            let stored = serde_json::to_vec(&execution).expect("an execution can be stored");
            let read: Execution = serde_json::from_slice(&stored).expect("and read");
            assert_eq!(read, execution);
            match step.outcome {
                Some(Outcome::Succeeded(_)) => return,
                Some(_) if redrives == REDRIVES || execution.is_history_full() => return,
                Some(_) => {
                    redrives += 1;
                    inputs = VecDeque::from([Input::Redrive]);
                    continue;
                }
                None => {
                    let _ = owed(&machine, &execution);
                }
            }
            for command in step.commands {
                self.perform(command, choice, &input, depth, &mut inputs);
            }
        }
    }

    /// What the command comes to.
    fn perform(
        &self,
        command: Command,
        choice: u8,
        input: &Value,
        depth: usize,
        inputs: &mut VecDeque<Input>,
    ) {
        let result = match choice % 5 {
            0 => Err(Failure::new("States.TaskFailed", "a cause")),
            1 => Err(Failure::new("Lambda.TooManyRequestsException", "{\"a\":1}")),
            2 => Ok(json!({"Payload": input, "StatusCode": 200})),
            _ => Ok(input.clone()),
        };
        match command {
            Command::Call(call) => {
                let token = call.attempt;
                if choice & 8 != 0 {
                    inputs.push_back(Input::ActivityScheduled { token });
                    let worker = Some("w".to_owned());
                    inputs.push_back(Input::ActivityStarted { token, worker });
                    inputs.push_back(Input::TaskHeartbeat { token });
                    let result = result.clone();
                    inputs.push_back(Input::TaskSubmitted { token, result });
                }
                inputs.push_back(Input::TaskEnded { token, result });
            }
            Command::Timer { token, .. } => inputs.push_back(Input::TimerFired { token }),
            Command::StartMapRun(plan) => {
                let child = self.definition.labelled(&plan.label, "m");
                if let (Some((_, _, map)), 0) = (child, depth) {
                    self.run(&map.processor, None, Arc::new(input.clone()), 1);
                }
                let (arn, redrives) = (plan.arn, 0);
                inputs.push_back(Input::MapRunEnded {
                    arn,
                    redrives,
                    result,
                });
            }
            Command::FollowMapRun { arn, redrives } => {
                inputs.push_back(Input::MapRunEnded {
                    arn,
                    redrives,
                    result,
                });
            }
            Command::Abandon { .. } | Command::StopMapRun { .. } => {}
        }
    }
}
