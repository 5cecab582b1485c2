//! Maps: how one begins.

use super::{
    ACCOUNT, Branch, Command, Destination, Distributed, Failure, Frame, INLINE_CONCURRENCY,
    ItemSource, MapRunPlan, MapState, Path, Phase, REGION, Result, State, Stepper, Value, context,
    json, label_of, located, member,
};

impl Stepper<'_> {
    pub(super) fn begin_map_run(
        &mut self,
        map: &MapState,
        distributed: &Distributed,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let max_concurrency = match &map.max_concurrency {
            Some(given) => self.given(
                given,
                "MaxConcurrencyPath",
                "integer",
                frame,
                input,
                Value::as_u64,
            )?,
            None => 0,
        };
        let mut items = match &distributed.reader {
            Some(reader) => {
                let address = self.evaluate(&reader.parameters, frame, input)?;
                ItemSource::Object {
                    bucket: member(&address, "Bucket")?,
                    key: member(&address, "Key")?,
                    format: reader.format,
                    max_items: None,
                }
            }
            None => ItemSource::Values(self.items(map.items_path.as_ref(), frame, input)?),
        };
        let length = match &items {
            ItemSource::Values(values) => values.len(),
            ItemSource::Object { .. } => 0,
        };
        let started_event = self.follow(frame, "MapStateStarted", || json!({"length": length}));
        let reader = distributed.reader.as_ref();
        if let (Some(given), ItemSource::Object { max_items, .. }) = (
            reader.and_then(|reader| reader.max_items.as_ref()),
            &mut items,
        ) {
            let read = Value::as_u64;
            let most = self.given(given, "MaxItemsPath", "integer", frame, input, read)?;
            *max_items = Some(most).filter(|most| *most > 0);
        }
        let tolerated_count = match &distributed.tolerated_count {
            Some(given) => self.given(
                given,
                "ToleratedFailureCountPath",
                "integer",
                frame,
                input,
                // Negative ones have a text of their own.
                |value| value.as_u64().or_else(|| value.as_i64().map(|_| u64::MAX)),
            )?,
            None => 0,
        };
        if tolerated_count == u64::MAX {
            let text = "ToleratedFailureCount cannot be negative.";
            return Err(located(frame, text));
        }
        let tolerated_percentage = match &distributed.tolerated_percentage {
            Some(given) => self.given(
                given,
                "ToleratedFailurePercentagePath",
                "float",
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
        let writer = match &distributed.writer {
            Some(template) => {
                let address = self.evaluate(template, frame, input)?;
                Some(Destination {
                    bucket: member(&address, "Bucket")?,
                    prefix: address
                        .get("Prefix")
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned(),
                })
            }
            None => None,
        };
        let machine = &self.machine.identity.machine_name;
        let label = label_of(distributed, machine, &frame.state);
        let bits = (u128::from(self.random()) << 64) | u128::from(self.random());
        let id = uuid::Builder::from_random_bytes(bits.to_be_bytes()).into_uuid();
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
                max_concurrency,
                tolerated_count,
                tolerated_percentage,
                writer,
            })));
        Ok(Result::Waiting)
    }

    pub(super) fn begin_map(
        &mut self,
        state: &State,
        map: &MapState,
        frame: &mut Frame,
        input: &Value,
    ) -> std::result::Result<Result, Failure> {
        let items = self.items(map.items_path.as_ref(), frame, input)?;
        let limit = match &map.max_concurrency {
            Some(given) => self.given(
                given,
                "MaxConcurrencyPath",
                "integer",
                frame,
                input,
                Value::as_u64,
            )?,
            None => 0,
        };
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

    pub(super) fn items(
        &mut self,
        path: Option<&Path>,
        frame: &Frame,
        input: &Value,
    ) -> std::result::Result<Vec<Value>, Failure> {
        let value = match path {
            Some(path) => self.find(path, frame, input)?,
            None => input.clone(),
        };
        match value {
            Value::Array(items) => Ok(items),
            other => {
                let shown = path.map_or("$", Path::text);
                let cause = format!("Reference path \"{shown}\" must point to array: {other}");
                Err(Failure::new("States.Runtime", cause))
            }
        }
    }
}
