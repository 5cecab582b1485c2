//! How the plan of a re-run is made: names, inputs, checks and estimates.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::gather::Subset;
use super::items::{Format, Way};
use super::link::Link;
use super::{GROUPS, Group, Plan, Wish, address, parsed};
use crate::client::Client;
use crate::model::{ExecutionArn, Limits, MapRun, ObjectAddress, Prices, Status, Timestamp};
use crate::operations::redrive::Definition;
use crate::operations::runs::{Run, is_absent, is_name};
use crate::operations::{Check, Error, cost, hex, results};

/// Bytes of an execution's input that the service takes.
const INPUT_LIMIT: usize = 262_144;
/// Characters of an execution's name.
const NAME_LIMIT: usize = 80;

impl Plan {
    pub(super) fn empty(run: &Run, wish: Wish, now: Timestamp) -> Self {
        let execution = run.execution();
        Self {
            execution: execution.arn.clone(),
            state: run.state(now),
            machine: execution.arn.state_machine(),
            name: String::new(),
            allowed: Ok(()),
            wish,
            items: 0,
            groups: Vec::new(),
            source: String::new(),
            exact: false,
            link: None,
            subset: ObjectAddress::new("", ""),
            bytes: 0,
            sha256: String::new(),
            input: Value::Null,
            merges_with: None,
            definition: None,
            cost: None,
            time: None,
            checks: Vec::new(),
        }
    }

    pub(super) fn take(&mut self, subset: &mut Subset) -> Result<(), Error> {
        (self.bytes, self.sha256) = subset.digest(&self.wish.edits)?;
        self.items = subset.len();
        self.source.clone_from(&subset.source);
        self.exact = subset.exact;
        let groups = subset.groups.iter().take(GROUPS);
        self.groups = groups
            .map(|(key, count)| Group {
                error: key.error.clone(),
                message: key.message.clone(),
                count: *count,
            })
            .collect();
        Ok(())
    }

    pub(super) fn take_everything(
        &mut self,
        run: &Run,
        map_run: &MapRun,
        input: &Value,
        is_shipped: bool,
    ) {
        let mut input = input.clone();
        if let (Value::Object(members), true) = (&mut input, is_shipped) {
            set_limits(members, &self.wish.limits);
        }
        self.items = map_run.items.total;
        self.exact = true;
        "the run's input".clone_into(&mut self.source);
        self.sha256 = hex(&Sha256::digest(input.to_string()));
        self.name = match &self.wish.name {
            Some(name) => name.clone(),
            None => derived_name(&self.execution, &self.sha256, &self.wish),
        };
        self.link = Some(Link {
            everything: true,
            ..Link::new(&run.detail, &self.name)
        });
        self.input = input;
    }

    /// Names the new execution and makes its input.
    pub(super) fn address_to(
        &mut self,
        run: &Run,
        way: Option<&Way>,
        input: &Value,
        output: &Value,
    ) -> Result<(), String> {
        self.name = match &self.wish.name {
            Some(name) => name.clone(),
            None => derived_name(&self.execution, &self.sha256, &self.wish),
        };
        let suffix = way.map_or(&Format::Lines, |way| &way.format).suffix();
        let link = Link::new(&run.detail, &self.name);
        let key = link.key(&format!("only.{suffix}"));
        self.link = Some(link);
        if let Some(way) = way {
            self.subset = way.address(input, key)?;
            self.input = way.input(input, &self.subset, self.wish.one_by_one)?;
            return Ok(());
        }
        let bucket = shipped_bucket(input).ok_or("the run's input names no bucket")?;
        self.subset = ObjectAddress::new(bucket, key);
        let previous = address(&output["output"]);
        self.input = shipped_input(input, &self.subset, output, &self.wish.limits)?;
        self.merges_with = previous.filter(|_| self.input.get("merge").is_some());
        Ok(())
    }

    pub(super) async fn check(
        &mut self,
        client: &Client,
        used: &Value,
        used_revision: Option<&str>,
        way: Option<&Way>,
    ) -> Result<(), Error> {
        if !self.exact {
            self.checks.push(Check::notice(format!(
                "not everything that did not succeed could be looked at: read from {}",
                self.source
            )));
        }
        let deployed = client.state_machine(&self.machine).await?;
        let now = parsed(Some(&deployed.definition));
        let definition = Definition {
            used: used_revision.map(str::to_owned),
            deployed: deployed.revision,
            changed: now != *used,
        };
        self.checks.push(match definition.changed {
            false => Check::good("the definition has not changed since the run"),
            true => Check::notice(
                "another definition is deployed by now: the new execution runs that one",
            ),
        });
        self.definition = Some(definition);
        match way {
            None if self.wish.everything => self.checks.push(Check::notice(
                "everything runs again, also what has succeeded: an output of a fixed name is \
                 written anew",
            )),
            None => self.check_shipped(&now),
            Some(way) if way.has_more_states => self.checks.push(Check::notice(
                "the states after the map run again, with the results of these items alone",
            )),
            Some(_) => {}
        }
        let size = self.input.to_string().len();
        if INPUT_LIMIT < size {
            let text = format!("the input has {size} bytes: Step Functions takes {INPUT_LIMIT}");
            self.checks.push(Check::bad(text));
        }
        let check = self.check_name(client).await?;
        self.checks.push(check);
        Ok(())
    }

    fn check_shipped(&mut self, deployed: &Value) {
        let payload = &deployed["States"]["Postprocess"]["Parameters"]["Payload"];
        if payload.get("chosen.$").is_none() {
            self.checks.push(Check::bad(
                "the deployed workflow is older than re-runs: deploy this version's definition and \
                 functions first",
            ));
        }
        self.checks.push(match &self.merges_with {
            Some(output) => Check::good(format!(
                "what succeeds is merged with {output} in a new object; what fails again stays open"
            )),
            None => Check::notice(
                "the run wrote no output: that of the new execution has the chosen lines alone",
            ),
        });
    }

    /// What it means that an execution has the name already.
    async fn check_name(&self, client: &Client) -> Result<Check, Error> {
        let name = &self.name;
        if !is_name(name) {
            return Ok(Check::bad(format!(
                "{name:?} cannot name an execution: 1 to 80 of A-Z a-z 0-9 - _ ."
            )));
        }
        let detail = match client.execution(&self.target()).await {
            Ok(detail) => detail,
            Err(error) if is_absent(&error.kind) => return Ok(Check::good("the name is unused")),
            Err(error) => return Err(error.into()),
        };
        let same = parsed(detail.input.as_deref()) == self.input;
        Ok(match (detail.execution.status, same) {
            (Status::Running, true) => Check::notice(format!(
                "{name} is running with these very items: starting it again changes nothing"
            )),
            (status, true) => Check::bad(format!(
                "{name} has run these very items already and is {}: re-run or redrive that one, or \
                 give another --name",
                status.as_str()
            )),
            (status, false) => Check::bad(format!(
                "{name} is taken by an execution with another input, which is {}: give another \
                 --name",
                status.as_str()
            )),
        })
    }

    pub(super) async fn estimate(
        &mut self,
        client: &Client,
        map_run: &MapRun,
        definition: &Value,
        prices: &Prices,
    ) {
        let sample = cost::sample(client, map_run).await;
        self.time = cost::time(map_run, self.items, sample.as_ref());
        let state = results::map_state(definition, map_run.arn.label());
        let processor = state.and_then(|(_, state)| state.get("ItemProcessor"));
        let total = map_run.items.total.max(1);
        let each = match self.wish.one_by_one {
            true => 1,
            false => (total / map_run.executions.total.max(1)).max(1),
        };
        let starts = self.items.div_ceil(each);
        self.cost = sample
            .zip(processor)
            .map(|(sample, processor)| cost::of(prices, processor, starts, &sample));
    }
}

/// Where a run of the shipped workflow that had this input keeps what belongs to it.
pub(super) fn shipped_bucket(input: &Value) -> Option<&str> {
    let bucket = [&input["output"]["bucket"], &input["source"]["bucket"]];
    bucket.into_iter().find_map(Value::as_str)
}

/// The run's input with these lines instead of all, to be merged with what it wrote.
pub(super) fn shipped_input(
    input: &Value,
    subset: &ObjectAddress,
    output: &Value,
    limits: &Limits,
) -> Result<Value, String> {
    let Value::Object(members) = input else {
        return Err("the run's input is no JSON object".to_owned());
    };
    let mut members = members.clone();
    for earlier in ["only", "merge", "overwrite"] {
        members.remove(earlier);
    }
    members.insert(
        "only".to_owned(),
        json!({"bucket": subset.bucket, "key": subset.key}),
    );
    let lines = output["counts"]["lines"].as_u64();
    if let (Some(previous), Some(lines)) = (address(&output["output"]), lines) {
        let mut merge = json!({"output": previous, "lines": lines});
        if let Some(failed) = address(&output["failed"]) {
            merge["failed"] = json!(failed);
        }
        members.insert("merge".to_owned(), merge);
        // What fails again stays open, and the rest is merged all the same.
        members.insert("tolerate".to_owned(), json!(100));
    }
    set_limits(&mut members, limits);
    Ok(Value::Object(members))
}

fn set_limits(members: &mut Map<String, Value>, limits: &Limits) {
    if let Some(share) = limits.tolerated_percentage {
        members.insert("tolerate".to_owned(), json!(share));
    }
    if let Some(most) = limits.max_concurrency {
        members.insert("concurrency".to_owned(), json!(most));
    }
}

/// `<run>-r<n>-<hash>`, n counting the re-runs from the first run on: a re-run's own re-run is the
/// next.
pub(super) fn derived_name(execution: &ExecutionArn, sha256: &str, wish: &Wish) -> String {
    let mut hash = Sha256::new();
    let limits = format!("{:?} {}", wish.limits, wish.one_by_one);
    let how = if wish.everything {
        "everything"
    } else {
        "chosen"
    };
    for part in [execution.as_str(), sha256, &limits, how] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digits = hex(&hash.finalize()[..4]);
    let (stem, generation) = generation(execution.name());
    let end = format!("-r{}-{digits}", generation + 1);
    let mut stem = stem.to_owned();
    stem.truncate(NAME_LIMIT - end.len()); // the service allows ASCII only
    stem + &end
}

/// The first run's name and how many re-runs led to this one.
pub(in crate::operations) fn generation(name: &str) -> (&str, u64) {
    let parts = name.rsplit_once('-').and_then(|(front, hash)| {
        let is_hash = hash.len() == 8 && hash.chars().all(|c| c.is_ascii_hexdigit());
        let (stem, number) = front.rsplit_once("-r").filter(|_| is_hash)?;
        Some((stem, number.parse().ok()?))
    });
    parts
        .filter(|(stem, _)| !stem.is_empty())
        .unwrap_or((name, 0))
}
