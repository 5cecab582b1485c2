//! The functions that Step Functions adds to JSONata or takes from it (developer guide, "JSONata
//! functions provided by Step Functions"), and those that would not be the same when repeated.

use std::cell::Cell;

use jsonata_core::evaluator::{Evaluator, EvaluatorError, HostFnResult};
use jsonata_core::parser;
use jsonata_core::value::JValue;

use crate::engine::digest;
use crate::engine::machine::{context_time, random_uuid};

/// `$range` makes at most this many elements, as many as AWS allows.
const MAX_RANGE: f64 = 360_145.0;

/// Random numbers that follow from a seed (SplitMix64).
struct Draws(Cell<u64>);

impl Draws {
    fn next(&self) -> u64 {
        let state = self.0.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.0.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// In [0, 1).
    fn fraction(&self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Makes the functions known. `now`: milliseconds since 1970; `seed`: of `$random`, `$uuid` and
/// `$shuffle`.
pub(super) fn register(
    evaluator: &mut Evaluator,
    now: i64,
    seed: u64,
) -> Result<(), EvaluatorError> {
    evaluator.register_fn("partition", partition)?;
    evaluator.register_fn("range", range)?;
    evaluator.register_fn("hash", hash)?;
    evaluator.register_fn("parse", parse)?;
    let draws = Draws(Cell::new(seed));
    evaluator.register_fn("uuid", move |_: &[JValue]| {
        Ok(JValue::from(random_uuid(draws.next(), draws.next())))
    })?;
    let draws = Draws(Cell::new(seed.rotate_left(21)));
    evaluator.register_fn_override("random", move |arguments: &[JValue]| {
        match arguments.first() {
            None | Some(JValue::Undefined) => Ok(JValue::from(draws.fraction())),
            Some(JValue::Number(seed)) => Ok(JValue::from(
                Draws(Cell::new(seed.trunc() as i64 as u64)).fraction(),
            )),
            Some(_) => Err(mismatch("random", 1)),
        }
    })?;
    let draws = Draws(Cell::new(seed.rotate_left(42)));
    evaluator.register_fn_override("shuffle", move |arguments: &[JValue]| match arguments {
        [JValue::Array(values)] => {
            let mut values = values.to_vec();
            for last in (1..values.len()).rev() {
                values.swap(last, (draws.next() % (last as u64 + 1)) as usize);
            }
            Ok(JValue::array(values))
        }
        [JValue::Undefined] => Ok(JValue::Undefined),
        [value] => Ok(JValue::array(vec![value.clone()])),
        _ => Err(mismatch("shuffle", 1)),
    })?;
    evaluator.register_fn_override("millis", move |_: &[JValue]| Ok(JValue::from(now)))?;
    evaluator.register_fn_override("now", move |arguments: &[JValue]| now_as(now, arguments))?;
    evaluator.register_fn_override("eval", |_: &[JValue]| {
        let text = "T1006: Attempted to invoke a non-function";
        Err(EvaluatorError::TypeError(text.to_owned()))
    })
}

fn mismatch(name: &str, argument: usize) -> EvaluatorError {
    EvaluatorError::TypeError(format!(
        "T0410: Argument {argument} of function \"{name}\" does not match function signature"
    ))
}

/// A number, rounded towards zero as AWS does; `None` for undefined.
fn whole(arguments: &[JValue], index: usize, name: &str) -> Result<Option<f64>, EvaluatorError> {
    match arguments.get(index) {
        None | Some(JValue::Undefined) => Ok(None),
        Some(JValue::Number(number)) => Ok(Some(number.trunc())),
        Some(_) => Err(mismatch(name, index + 1)),
    }
}

fn partition(arguments: &[JValue]) -> HostFnResult {
    let values = match arguments.first() {
        Some(JValue::Array(values)) => values.to_vec(),
        None | Some(JValue::Undefined) => return Ok(JValue::Undefined),
        Some(value) => vec![value.clone()],
    };
    let size = whole(arguments, 1, "partition")?.unwrap_or(0.0);
    if size < 1.0 || values.is_empty() {
        return Ok(JValue::Undefined);
    }
    let chunks = values.chunks(size as usize);
    Ok(JValue::array(
        chunks.map(|chunk| JValue::array(chunk.to_vec())).collect(),
    ))
}

fn range(arguments: &[JValue]) -> HostFnResult {
    let bound = |index| whole(arguments, index, "range");
    let (Some(from), Some(to), Some(by)) = (bound(0)?, bound(1)?, bound(2)?) else {
        return Ok(JValue::Undefined);
    };
    if by == 0.0 || (to - from) * by < 0.0 {
        return Ok(JValue::Undefined);
    }
    let count = ((to - from) / by).floor() + 1.0;
    if count > MAX_RANGE {
        let text = "Expression evaluation memory limit exceeded";
        return Err(EvaluatorError::EvaluationError(text.to_owned()));
    }
    let values: Vec<JValue> = (0..count as u32)
        .map(|n| JValue::from(from + f64::from(n) * by))
        .collect();
    match values.as_slice() {
        [only] => Ok(only.clone()),
        _ => Ok(JValue::array(values)),
    }
}

fn hash(arguments: &[JValue]) -> HostFnResult {
    match arguments {
        [JValue::String(text), JValue::String(algorithm)] => {
            digest::hash(text.as_bytes(), algorithm)
                .map(JValue::from)
                .ok_or_else(|| mismatch("hash", 2))
        }
        [] | [_] | [JValue::Undefined, _] | [_, JValue::Undefined] => Ok(JValue::Undefined),
        [JValue::String(_), ..] => Err(mismatch("hash", 2)),
        _ => Err(mismatch("hash", 1)),
    }
}

fn parse(arguments: &[JValue]) -> HostFnResult {
    match arguments {
        [JValue::String(text)] => JValue::from_json_str(text).map_err(|error| {
            EvaluatorError::EvaluationError(format!(
                "D3120: Syntax error in expression passed to function parse: {error}"
            ))
        }),
        [] | [JValue::Undefined] => Ok(JValue::Undefined),
        _ => Err(mismatch("parse", 1)),
    }
}

/// `$now([picture [, timezone]])` at a given time.
fn now_as(now: i64, arguments: &[JValue]) -> HostFnResult {
    let is_plain = arguments.iter().all(JValue::is_undefined);
    if is_plain {
        return Ok(JValue::from(context_time(now)));
    }
    let ast = parser::parse("$fromMillis(now, picture, timezone)")
        .map_err(|error| EvaluatorError::EvaluationError(error.to_string()))?;
    let mut data = vec![("now".to_owned(), JValue::from(now))];
    let names = ["picture", "timezone"];
    data.extend(
        names
            .into_iter()
            .zip(arguments)
            .filter(|(_, value)| !value.is_undefined())
            .map(|(name, value)| (name.to_owned(), value.clone())),
    );
    Evaluator::new().evaluate(&ast, &JValue::object(data.into_iter().collect()))
}
