//! Maps: how one begins.

use super::{
    ACCOUNT, Branch, Command, Destination, Distributed, EvaluationError, Failure, Frame, Given,
    INLINE_CONCURRENCY, ItemSource, Language, MapRunPlan, MapState, Phase, REGION, Result, State,
    Stepper, Value, Wanted, context, json, label_of, located, member,
};
use crate::engine::definition::{Batcher, Dataset};
use crate::engine::machine::{Batching, random_uuid};
use crate::engine::path::Path;
use crate::engine::query::Template;

impl Stepper<'_> {
    /// `MaxConcurrency` in any of its forms; 0 where none is set: what that means is the mode's.
    fn max_concurrency(
        &mut self,
        map: &MapState,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<u64, Failure> {
        match &map.max_concurrency {
            Some(given) => self.not_negative(given, "MaxConcurrency", frame, input),
            None => Ok(0),
        }
    }

    /// An integer field whose negative values AWS has a text of their own for.
    fn not_negative(
        &mut self,
        given: &Given<u64>,
        field: &str,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<u64, Failure> {
        let read = |value: &Value| value.as_u64().or_else(|| value.as_i64().map(|_| u64::MAX));
        match self.given(given, field, Wanted::INTEGER, frame, input, read)? {
            u64::MAX => {
                let text = format!("{field} cannot be negative.");
                Err(located(frame, &text))
            }
            count => Ok(count),
        }
    }

    pub(super) fn begin_map_run(
        &mut self,
        state: &State,
        map: &MapState,
        distributed: &Distributed,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let max_concurrency = self.max_concurrency(map, frame, input)?;
        let mut items = match &distributed.reader {
            Some(reader) => {
                let arguments = self.evaluate(&reader.parameters, frame, input)?;
                dataset(&reader.dataset, &arguments)?
            }
            None => self.state_data(map, state, frame, input)?,
        };
        let length = items.known_length();
        let started_event = self.follow(frame, "MapStateStarted", || json!({"length": length}));
        let reader = distributed.reader.as_ref();
        if let (
            Some(given),
            ItemSource::Object { max_items, .. } | ItemSource::Listing { max_items, .. },
        ) = (
            reader.and_then(|reader| reader.max_items.as_ref()),
            &mut items,
        ) {
            let read = Value::as_i64;
            *max_items =
                Some(self.given(given, "MaxItems", Wanted::INTEGER, frame, input, read)?);
        }
        let batching = match &distributed.batcher {
            Some(batcher) => Some(self.batching(batcher, frame, input)?),
            None => None,
        };
        let tolerated_count = match &distributed.tolerated_count {
            Some(given) => self.not_negative(given, "ToleratedFailureCount", frame, input)?,
            None => 0,
        };
        let tolerated_percentage = match &distributed.tolerated_percentage {
            Some(given) => self.given(
                given,
                "ToleratedFailurePercentage",
                Wanted::FLOAT,
                frame,
                input,
                Value::as_f64,
            )?,
            None => 0.0,
        };
        if !(0.0..=100.0).contains(&tolerated_percentage) {
            let text = "ToleratedFailurePercentage must be between 0 and 100.";
            return Err(located(frame, text));
        }
        let destination = distributed.writer.as_ref();
        let writer = match destination.and_then(|writer| writer.parameters.as_ref()) {
            Some(template) => {
                let address = self.evaluate(template, frame, input)?;
                Some(Destination {
                    bucket: member(&address, "Bucket")?,
                    prefix: optional(&address, "Prefix")?.unwrap_or_default(),
                })
            }
            None => None,
        };
        let machine = &self.machine.identity.machine_name;
        let label = label_of(distributed, machine, &frame.state);
        let id = random_uuid(self.random(), self.random());
        let arn = format!("arn:aws:states:{REGION}:{ACCOUNT}:mapRun:{machine}/{label}:{id}");
        let run_event = self.follow(frame, "MapRunStarted", || json!({"mapRunArn": arn}));
        frame.phase = Phase::MapRun {
            arn: arn.clone(),
            redrives: 0,
            started_event,
            run_event,
        };
        self.step
            .commands
            .push(Command::StartMapRun(Box::new(MapRunPlan {
                arn,
                label,
                children: distributed.children,
                items,
                input: input.clone(),
                context: context(self.machine, self.execution, frame, None),
                variables: self.spoken_of(map.selector.as_ref(), frame),
                at: self.now,
                max_concurrency,
                tolerated_count,
                tolerated_percentage,
                batching,
                writer,
                shape: distributed.writer.as_ref().map(|writer| writer.shape),
            })));
        Ok(Result::Waiting)
    }

    fn batching(
        &mut self,
        batcher: &Batcher,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Batching, Failure> {
        // A limit of 0 would never let a batch close.
        let positive = |value: &Value| value.as_u64().filter(|limit| *limit > 0);
        let mut limit = |given: &Option<Given<u64>>, field| match given {
            Some(given) => self.given(given, field, Wanted::INTEGER, frame, input, positive),
            None => Ok(0),
        };
        Ok(Batching {
            max_items: limit(&batcher.max_items, "MaxItemsPerBatch")?,
            max_bytes: limit(&batcher.max_bytes, "MaxInputBytesPerBatch")?,
            input: match &batcher.input {
                Some(template) => Some(self.evaluate(template, frame, input)?),
                None => None,
            },
        })
    }

    /// A Distributed Map's items without a reader: an array or an object.
    fn state_data(
        &mut self,
        map: &MapState,
        state: &State,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<ItemSource, Failure> {
        match self.items_value(map, frame, input)? {
            Value::Object(members) => Ok(ItemSource::Members(members)),
            other => Ok(ItemSource::Values(self.array(other, map, state, frame)?)),
        }
    }

    pub(super) fn begin_map(
        &mut self,
        state: &State,
        map: &MapState,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let items = self.items(map, state, frame, input)?;
        let limit = self.max_concurrency(map, frame, input)?;
        let limit = if limit == 0 {
            INLINE_CONCURRENCY
        } else {
            usize::try_from(limit).unwrap_or(usize::MAX)
        };
        let length = items.len();
        let started_event = self.follow(frame, "MapStateStarted", || json!({"length": length}));
        let branches = vec![Branch::Waiting; length];
        frame.phase = Phase::Map {
            items,
            branches,
            limit,
            started_event,
            last_inside: None,
        };
        Ok(self.pump_map(state, map, frame))
    }

    fn items(
        &mut self,
        map: &MapState,
        state: &State,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Vec<Value>, Failure> {
        let value = self.items_value(map, frame, input)?;
        self.array(value, map, state, frame)
    }

    fn items_value(
        &mut self,
        map: &MapState,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Value, Failure> {
        match (&map.items, &map.items_path) {
            (Some(items), _) => self.evaluate(items, frame, input),
            (None, Some(path)) => self.find(path, frame, input),
            (None, None) => Ok(input.clone()),
        }
    }

    fn array(
        &mut self,
        value: Value,
        map: &MapState,
        state: &State,
        frame: &Frame,
    ) -> std::result::Result<Vec<Value>, Failure> {
        let other = match value {
            Value::Array(items) => return Ok(items),
            other => other,
        };
        let error = match (&map.items, state.language) {
            (Some(Template::Jsonata(expression)), _) => expression.unexpected("array", &other),
            (_, Language::Jsonata) => {
                let cause = format!("Map state input must be an array but was: {other}");
                EvaluationError::query(cause, None)
            }
            (_, Language::JsonPath) => {
                let shown = map.items_path.as_ref().map_or("$", Path::text);
                let cause = format!("Reference path \"{shown}\" must point to array: {other}");
                return Err(Failure::new("States.Runtime", cause));
            }
        };
        Err(self.failed_evaluation(frame, error))
    }
}

/// Where the items are, as a reader's arguments say.
fn dataset(dataset: &Dataset, arguments: &Value) -> std::result::Result<ItemSource, Failure> {
    let bucket = member(arguments, "Bucket")?;
    let owner = optional(arguments, "ExpectedBucketOwner")?;
    Ok(match dataset {
        Dataset::Object(format) => ItemSource::Object {
            bucket,
            key: member(arguments, "Key")?,
            format: format.clone(),
            max_items: None,
            version: optional(arguments, "VersionId")?,
            owner,
        },
        Dataset::Listing(format) => ItemSource::Listing {
            bucket,
            prefix: optional(arguments, "Prefix")?.unwrap_or_default(),
            format: format.clone(),
            max_items: None,
            owner,
        },
    })
}

/// A string that may be missing.
fn optional(object: &Value, name: &str) -> std::result::Result<Option<String>, Failure> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(other) => Err(Failure::new(
            "States.Runtime",
            format!("The field '{name}' must be a string, not {other}"),
        )),
    }
}
