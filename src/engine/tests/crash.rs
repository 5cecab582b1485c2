//! The power cut at every instant at which something becomes durable, and a disk without room: what
//! the engine serves afterwards is complete, and it goes on to the same end.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::watch;

use super::disk::faults::Faults;
use super::*;
use crate::engine::map_run::ChildStatus;
use crate::engine::objects::{Attributes, Condition, ListQuery};

/// Items of each map.
const ITEMS: u64 = 6;
const MACHINE: &str = "arn:aws:states:us-east-1:000000000000:stateMachine:m";

/// What outlives the engine: the service that the functions ask, and what the engine has
/// acknowledged and so must know for ever.
struct World {
    /// Rises with each repair.
    level: watch::Sender<u64>,
    acknowledged: Mutex<Acknowledged>,
    /// Calls since the last start, by execution's map and item.
    calls: Mutex<BTreeSet<(String, u64)>>,
}

#[derive(Debug, Default)]
struct Acknowledged {
    executions: BTreeSet<String>,
    redrives: BTreeMap<String, u64>,
    stopped: BTreeSet<String>,
    objects: BTreeMap<String, Vec<u8>>,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            level: watch::Sender::new(0),
            acknowledged: Mutex::default(),
            calls: Mutex::default(),
        })
    }

    fn acknowledge(&self, note: impl FnOnce(&mut Acknowledged)) {
        note(&mut self.acknowledged.lock().unwrap());
    }
}

fn distributed_map(label: &str, kind: &str, next: Option<&str>) -> Value {
    let work = format!("Work {label}");
    let mut map = json!({"Type": "Map", "Label": label, "MaxConcurrency": 3,
        "ItemReader": {"Resource": "arn:aws:states:::s3:getObject", "ReaderConfig": {"InputType": "JSONL"}, "Parameters": {"Bucket": "b", "Key.$": "$.items"}},
        "ItemProcessor": {"ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": kind}, "StartAt": work,
            "States": {&work: {"Type": "Task", "Resource": "arn:aws:states:::lambda:invoke", "Parameters": {"FunctionName": label, "Payload.$": "$"}, "OutputPath": "$.Payload", "End": true}}},
        "ResultWriter": {"Resource": "arn:aws:states:::s3:putObject", "Parameters": {"Bucket": "b", "Prefix": format!("out-{label}")}},
        "ResultPath": "$.written"});
    let map_object = map.as_object_mut().unwrap();
    match next {
        Some(next) => map_object.insert("Next".to_owned(), next.into()),
        None => map_object.insert("End".to_owned(), true.into()),
    };
    map
}

/// Preprocess, a map of Standard children, a map of Express ones. With `{"wait": true}` another map
/// whose children wait for the second repair.
fn definition() -> String {
    json!({"StartAt": "Which", "States": {
        "Which": {"Type": "Choice", "Choices": [{"Variable": "$.wait", "BooleanEquals": true, "Next": "Waiting"}], "Default": "Preprocess"},
        "Preprocess": {"Type": "Task", "Resource": "arn:aws:lambda:us-east-1:000000000000:function:preprocess", "ResultPath": "$.items", "Next": "First"},
        "First": distributed_map("first", "STANDARD", Some("Second")),
        "Second": distributed_map("second", "EXPRESS", None),
        "Waiting": distributed_map("waiting", "STANDARD", None),
    }})
    .to_string()
}

fn upload(objects: &Objects, key: &str, bytes: &[u8]) -> Result<(), objects::ObjectsError> {
    let upload = objects.create_upload("b", key, Attributes::default(), None)?;
    let mut part = objects.write_part(&upload, 1)?;
    part.write_all(bytes)?;
    let etag = part.commit(None)?.etag;
    let chosen = [(1, etag)];
    objects.complete_upload(&upload, &chosen, &Condition::Always, |_| Ok(None))?;
    Ok(())
}

fn register_functions(engine: &Engine, world: &Arc<World>) {
    let objects = engine.objects().clone();
    engine.functions().register("preprocess", move |_| {
        let objects = objects.clone();
        async move {
            // As S3 is asked over the wire: by requests that end by themselves.
            let lines = items(ITEMS);
            let put =
                tokio::task::spawn_blocking(move || upload(&objects, "items", lines.as_bytes()));
            match put.await.unwrap() {
                Ok(()) => Ok("items".into()),
                Err(error) => Err(FunctionError {
                    error_type: "S3".into(),
                    message: error.to_string(),
                }),
            }
        }
        .boxed()
    });
    // Which items fail in which map before which repair.
    for (map, bad, from) in [("first", 1, 1), ("second", 4, 2), ("waiting", 99, 2)] {
        let world = Arc::clone(world);
        engine.functions().register(map, move |event| {
            let world = Arc::clone(&world);
            async move {
                let n = event["n"].as_u64().unwrap();
                world.calls.lock().unwrap().insert((map.to_owned(), n));
                let mut level = world.level.subscribe();
                if map == "waiting" {
                    level.wait_for(|level| *level >= from).await.unwrap();
                }
                if n == bad && *level.borrow() < from {
                    return Err(FunctionError {
                        error_type: "Bad".into(),
                        message: format!("item {n} is bad"),
                    });
                }
                Ok(json!({"n": n}))
            }
            .boxed()
        });
    }
}

/// Opens the engine, checks what it has acknowledged and finished before, and lets it go on.
async fn open_in(world: &Arc<World>, folder: &Path, faults: &Arc<Faults>) -> Result<Engine, Error> {
    let engine = Engine::open_on(faults.disk(), folder).await?;
    register_functions(&engine, world);
    Ok(engine)
}

/// Items of the Map Runs that have succeeded.
async fn finished(engine: &Engine) -> BTreeSet<(String, u64)> {
    let mut found = BTreeSet::new();
    for arn in ["run", "stopped"].map(execution_arn) {
        for map_run in engine.runner().store().map_runs_of(&arn).unwrap() {
            let handle = engine.runner().map_run(&map_run).await.unwrap().unwrap();
            let mut reader = handle.reader();
            let children: Vec<u32> = handle.table().in_status(ChildStatus::Succeeded).collect();
            for child in children {
                let input = handle.input(&mut reader, child).unwrap();
                let input: Value = serde_json::from_str(&input).unwrap();
                let label = handle.row.plan.label.clone();
                found.insert((label, input["n"].as_u64().unwrap()));
            }
        }
    }
    found
}

fn execution_arn(name: &str) -> String {
    format!("{}:{name}", MACHINE.replace("stateMachine", "execution"))
}

type Answer = Result<Value, api::ApiError>;

async fn call(engine: &Engine, operation: &str, body: Value) -> Answer {
    sfn::call(engine, operation, body.to_string().as_bytes()).await
}

/// Brings everything to its end, from wherever it is. Any call may fail when the disk does.
async fn drive(engine: &Engine, world: &World) -> Result<(), String> {
    let told = |error: api::ApiError| error.message;
    let failed = |error: objects::ObjectsError| error.to_string();
    engine.objects().create_bucket("b").map_err(failed)?;
    let machine = json!({"name": "m", "roleArn": "arn:aws:iam::000000000000:role/r", "definition": definition()});
    call(engine, "CreateStateMachine", machine)
        .await
        .map_err(told)?;
    for (name, input) in [
        ("run", json!({"wait": false})),
        ("stopped", json!({"wait": true})),
    ] {
        let arn = execution_arn(name);
        if name == "stopped" {
            upload(engine.objects(), "waiting", items(ITEMS).as_bytes()).map_err(failed)?;
        }
        let input = match name {
            "run" => input,
            _ => json!({"wait": true, "items": "waiting"}),
        };
        if call(engine, "DescribeExecution", json!({"executionArn": arn}))
            .await
            .is_err()
        {
            let start =
                json!({"stateMachineArn": MACHINE, "name": name, "input": input.to_string()});
            call(engine, "StartExecution", start).await.map_err(told)?;
        }
        world.acknowledge(|known| {
            known.executions.insert(arn.clone());
        });
        bring_to_its_end(engine, world, &arn).await?;
    }
    for number in 0..3_u8 {
        let key = format!("side-{number}");
        let bytes = vec![number; 70_000 * usize::from(number)];
        let mut writing = engine.objects().write("b", &key).map_err(failed)?;
        writing
            .write_all(&bytes)
            .map_err(|error| error.to_string())?;
        writing.commit(false).map_err(failed)?;
        world.acknowledge(|known| {
            known.objects.insert(key, bytes);
        });
    }
    Ok(())
}

async fn bring_to_its_end(engine: &Engine, world: &World, arn: &str) -> Result<(), String> {
    let told = |error: api::ApiError| error.message;
    loop {
        let described = call(engine, "DescribeExecution", json!({"executionArn": arn})).await;
        let described = described.map_err(told)?;
        let redrives = described["redriveCount"].as_u64().unwrap();
        let waits = arn.ends_with("stopped") && redrives == 0;
        match described["status"].as_str().unwrap() {
            "SUCCEEDED" => return Ok(()),
            "RUNNING" if waits && has_running_children(engine, arn).await? => {
                let stop = json!({"executionArn": arn, "error": "Enough"});
                call(engine, "StopExecution", stop).await.map_err(told)?;
                world.acknowledge(|known| {
                    known.stopped.insert(arn.to_owned());
                });
            }
            "RUNNING" => tokio::task::yield_now().await,
            _ => {
                world.level.send_modify(|level| *level += 1);
                call(engine, "RedriveExecution", json!({"executionArn": arn}))
                    .await
                    .map_err(told)?;
                world.acknowledge(|known| {
                    known.redrives.insert(arn.to_owned(), redrives + 1);
                });
            }
        }
    }
}

async fn has_running_children(engine: &Engine, arn: &str) -> Result<bool, String> {
    let told = |error: api::ApiError| error.message;
    let runs = call(engine, "ListMapRuns", json!({"executionArn": arn}))
        .await
        .map_err(told)?;
    let Some(run) = runs["mapRuns"][0]["mapRunArn"].as_str() else {
        tokio::task::yield_now().await;
        return Ok(false);
    };
    let run = call(engine, "DescribeMapRun", json!({"mapRunArn": run}))
        .await
        .map_err(told)?;
    tokio::task::yield_now().await;
    Ok(run["itemCounts"]["running"].as_u64() > Some(0))
}

/// What holds at every instant, also right after a crash.
async fn check_always(engine: &Engine, world: &World) {
    let known = known_by(world);
    for (arn, redrives, stopped) in known.0 {
        let row = engine.runner().store().execution(&arn).unwrap();
        let row = row.unwrap_or_else(|| panic!("{arn} was acknowledged and is lost"));
        assert!(
            u64::from(row.execution.redrive_count) >= redrives,
            "{arn}: a redrive was acknowledged and is lost"
        );
        if stopped && row.execution.redrive_count == 0 {
            assert_eq!(
                row.status.as_str(),
                "ABORTED",
                "{arn}: a stop was acknowledged and is lost"
            );
        }
        check_history(engine, &arn).await;
    }
    for (key, bytes) in known.1 {
        assert_eq!(read(engine, &key), bytes, "{key} was acknowledged");
    }
    check_objects(engine);
}

type Known = (Vec<(String, u64, bool)>, Vec<(String, Vec<u8>)>);

fn known_by(world: &World) -> Known {
    let known = world.acknowledged.lock().unwrap();
    let executions = known.executions.iter().map(|arn| {
        let redrives = known.redrives.get(arn).copied().unwrap_or_default();
        (arn.clone(), redrives, known.stopped.contains(arn))
    });
    let objects = known.objects.iter();
    (
        executions.collect(),
        objects
            .map(|(key, bytes)| (key.clone(), bytes.clone()))
            .collect(),
    )
}

fn read(engine: &Engine, key: &str) -> Vec<u8> {
    let (_, mut body) = engine.objects().read("b", key).unwrap();
    let mut bytes = Vec::new();
    body.read_to_end(&mut bytes).unwrap();
    bytes
}

/// Every object that is listed can be read in full.
fn check_objects(engine: &Engine) {
    let all = ListQuery {
        most: 1_000,
        ..ListQuery::default()
    };
    let Ok(listing) = engine.objects().list("b", &all) else {
        return; // The bucket was not made yet.
    };
    for object in listing.objects {
        assert_eq!(
            read(engine, &object.key).len() as u64,
            object.size,
            "{}",
            object.key
        );
    }
}

/// Ids without gaps or doubles, one start, and one end for each time it ran.
async fn check_history(engine: &Engine, arn: &str) {
    let described = call(engine, "DescribeExecution", json!({"executionArn": arn}))
        .await
        .unwrap();
    let history = json!({"executionArn": arn, "maxResults": 1000});
    let history = call(engine, "GetExecutionHistory", history).await.unwrap();
    let events = history["events"].as_array().unwrap();
    let ids: Vec<u64> = events
        .iter()
        .map(|event| event["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "{arn}");
    let count = |types: &[&str]| {
        let is_one = |event: &&Value| types.contains(&event["type"].as_str().unwrap());
        events.iter().filter(is_one).count() as u64
    };
    let ends = count(&[
        "ExecutionSucceeded",
        "ExecutionFailed",
        "ExecutionAborted",
        "ExecutionTimedOut",
    ]);
    let redrives = described["redriveCount"].as_u64().unwrap();
    let is_running = u64::from(described["status"] == "RUNNING");
    assert_eq!(count(&["ExecutionStarted"]), 1, "{arn}");
    assert_eq!(count(&["ExecutionRedriven"]), redrives, "{arn}");
    assert_eq!(ends, redrives + 1 - is_running, "{arn}: {history}");
}

/// What holds at the end.
async fn check_end(engine: &Engine) {
    for name in ["run", "stopped"] {
        let arn = execution_arn(name);
        check_history(engine, &arn).await;
        let runs = call(engine, "ListMapRuns", json!({"executionArn": arn}))
            .await
            .unwrap();
        for run in runs["mapRuns"].as_array().unwrap() {
            check_map_run(engine, run["mapRunArn"].as_str().unwrap()).await;
        }
    }
    check_objects(engine);
}

async fn check_map_run(engine: &Engine, arn: &str) {
    let run = call(engine, "DescribeMapRun", json!({"mapRunArn": arn}))
        .await
        .unwrap();
    assert_eq!(run["status"], "SUCCEEDED", "{run}");
    let list = json!({"mapRunArn": arn, "maxResults": 1000});
    let children = call(engine, "ListExecutions", list).await.unwrap();
    let children = children["executions"].as_array().unwrap().clone();
    for counts in ["itemCounts", "executionCounts"] {
        assert_eq!(run[counts]["total"], ITEMS, "{run}");
        assert_eq!(run[counts]["succeeded"], ITEMS, "{run}");
        assert_eq!(run[counts]["resultsWritten"], ITEMS, "{run}");
    }
    assert_eq!(children.len() as u64, ITEMS, "{children:?}");
    let handle = engine.runner().map_run(arn).await.unwrap().unwrap();
    for child in &children {
        assert_eq!(child["status"], "SUCCEEDED");
        if handle.row.plan.children == definition::ChildKind::Standard {
            check_history(engine, child["executionArn"].as_str().unwrap()).await;
        }
    }
    let destination = handle.row.plan.writer.clone().unwrap();
    let id = arn.rsplit(':').next().unwrap();
    let folder = match run["redriveCount"].as_u64().unwrap() {
        0 => format!("{}/{id}", destination.prefix),
        round => format!("{}/{id}/Redrive-{round}", destination.prefix),
    };
    let manifest: Value =
        serde_json::from_slice(&read(engine, &format!("{folder}/manifest.json"))).unwrap();
    let mut seen = Vec::new();
    for file in manifest["ResultFiles"]["SUCCEEDED"].as_array().unwrap() {
        let bytes = read(engine, file["Key"].as_str().unwrap());
        assert_eq!(file["Size"].as_u64(), Some(bytes.len() as u64));
        let records: Vec<Value> = serde_json::from_slice(&bytes).unwrap();
        for record in records {
            let output: Value = serde_json::from_str(record["Output"].as_str().unwrap()).unwrap();
            seen.push(output["n"].as_u64().unwrap());
        }
    }
    seen.sort_unstable();
    assert_eq!(
        seen,
        (0..ITEMS).collect::<Vec<_>>(),
        "every item once in the results of {arn}: {manifest}"
    );
}

/// How a life of the engine ended.
enum End {
    Done,
    Cut,
}

/// Opens the engine in the folder and lets it work until everything is done or the power is cut.
async fn live(world: &Arc<World>, folder: &Path, faults: &Arc<Faults>) -> End {
    world.calls.lock().unwrap().clear();
    let engine = tokio::select! {
        engine = open_in(world, folder, faults) => engine,
        () = faults.cut() => return End::Cut,
    };
    let engine = match engine {
        Ok(engine) => engine,
        Err(error) => {
            assert!(faults.is_cut(), "{error}");
            return End::Cut;
        }
    };
    let work = async {
        if !faults.spare(true) {
            return Err("cut".to_owned());
        }
        let before = finished(&engine).await;
        check_always(&engine, world).await;
        faults.spare(false);
        engine
            .runner()
            .recover()
            .await
            .map_err(|error| error.to_string())?;
        drive(&engine, world).await?;
        let again: Vec<_> = world
            .calls
            .lock()
            .unwrap()
            .intersection(&before)
            .cloned()
            .collect();
        assert!(again.is_empty(), "finished items ran again: {again:?}");
        Ok::<(), String>(())
    };
    let end = tokio::select! {
        done = work => match done {
            Ok(()) => End::Done,
            Err(error) => {
                assert!(faults.is_cut(), "{error}");
                End::Cut
            }
        },
        () = faults.cut() => End::Cut,
    };
    let end = match end {
        End::Done if faults.spare(true) => {
            check_end(&engine).await;
            End::Done
        }
        _ => End::Cut,
    };
    engine.stop().await;
    end
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

/// Cuts the power before the `number`th durable operation, and then now and then again, until all
/// is done. Returns how many operations the first life did.
fn crash_at(number: u64, seed: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed);
    let world = World::new();
    let mut folder = tempfile::tempdir().unwrap();
    let mut cut = Some(number);
    let mut first = None;
    for _ in 0..20 {
        let faults = Faults::new(folder.path());
        if let Some(cut) = cut {
            faults.cut_at(cut);
        }
        let runtime = runtime();
        let end = runtime.block_on(live(&world, folder.path(), &faults));
        // Function calls and file work that still go on find no power.
        runtime.shutdown_timeout(Duration::from_secs(10));
        first.get_or_insert(faults.done());
        if let End::Done = end {
            return first.unwrap_or_default();
        }
        let left = tempfile::tempdir().unwrap();
        faults.leave(left.path(), random.random());
        folder = left;
        cut = random.random_bool(0.4).then(|| random.random_range(1..40));
    }
    panic!("it never ends");
}

/// The operations before which to cut, in this process: all of them when `FANOUT_EVERY_CRASH` is
/// set, else one in so many, other ones each time.
fn chosen(operations: u64, one_in: u64) -> impl Iterator<Item = u64> {
    let all = std::env::var_os("FANOUT_EVERY_CRASH").is_some();
    let step = if all { 1 } else { one_in };
    let offset = if all {
        1
    } else {
        rand::random_range(1..=one_in)
    };
    (offset..=operations).step_by(step as usize)
}

#[test]
fn the_power_may_be_cut_before_anything_becomes_durable() {
    let operations = crash_at(u64::MAX, 0);
    for number in chosen(operations, 16) {
        let seed = rand::random();
        println!("cut before operation {number} of {operations}, seed {seed}");
        crash_at(number, seed);
    }
}

/// What the engine answers about everything there is, by question; an error by its text.
async fn answers(engine: &Engine) -> BTreeMap<String, Result<Vec<u8>, String>> {
    let mut all = BTreeMap::new();
    for name in ["run", "stopped"] {
        let arn = execution_arn(name);
        let questions = ["DescribeExecution", "GetExecutionHistory", "ListMapRuns"];
        for question in questions {
            let answer = call(engine, question, json!({"executionArn": arn})).await;
            let answer = answer.map_err(|error| error.message);
            if let ("ListMapRuns", Ok(listed)) = (question, &answer) {
                for run in listed["mapRuns"].as_array().unwrap() {
                    let run = json!({"mapRunArn": run["mapRunArn"]});
                    for question in ["DescribeMapRun", "ListExecutions"] {
                        let answer = call(engine, question, run.clone()).await;
                        let answer = answer.map_err(|error| error.message);
                        let answer = answer.map(|value| value.to_string().into_bytes());
                        all.insert(format!("{question} {run}"), answer);
                    }
                }
            }
            let answer = answer.map(|value| value.to_string().into_bytes());
            all.insert(format!("{question} {arn}"), answer);
        }
    }
    let every = ListQuery {
        most: 1_000,
        ..ListQuery::default()
    };
    let listed = engine.objects().list("b", &every);
    for object in listed.map(|listed| listed.objects).unwrap_or_default() {
        let mut bytes = Vec::new();
        let read = engine
            .objects()
            .read("b", &object.key)
            .map_err(|error| error.to_string());
        let read = read.and_then(|(_, mut body)| {
            body.read_to_end(&mut bytes)
                .map_err(|error| error.to_string())
        });
        all.insert(object.key, read.map(|_| bytes));
    }
    all
}

fn copy(from: &Path, to: &Path, files: &mut Vec<PathBuf>) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target, files);
        } else {
            fs::copy(&path, &target).unwrap();
            files.push(target);
        }
    }
}

/// Any byte changed, any end missing: the damaged file is named, or nothing that is answered
/// differs from what was answered before.
#[test]
fn a_damaged_file_is_named_and_nothing_wrong_is_answered() {
    let world = World::new();
    let folder = tempfile::tempdir().unwrap();
    let first = runtime();
    let before = first.block_on(async {
        let engine = open_in(&world, folder.path(), &Faults::new(folder.path()))
            .await
            .unwrap();
        drive(&engine, &world).await.unwrap();
        engine.stop().await;
        answers(&engine).await
    });
    first.shutdown_timeout(Duration::from_secs(10));
    for _ in 0..40 {
        let seed: u64 = rand::random();
        let mut random = StdRng::seed_from_u64(seed);
        let damaged = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        copy(folder.path(), damaged.path(), &mut files);
        files.retain(|path| {
            let path = path.strip_prefix(damaged.path()).unwrap();
            path.starts_with("map_runs")
                || path.starts_with("objects")
                || path.ends_with("store.redb")
        });
        files.sort();
        let victim = &files[random.random_range(0..files.len())];
        let mut bytes = fs::read(victim).unwrap();
        if bytes.is_empty() {
            continue;
        }
        let at = random.random_range(0..bytes.len());
        if random.random_bool(0.3) {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << random.random_range(0..8);
        }
        fs::write(victim, &bytes).unwrap();
        let what = format!("seed {seed}: {} at {at}", victim.display());
        let name = victim.file_name().unwrap().to_str().unwrap();
        let second = runtime();
        second.block_on(async {
            match Engine::open(damaged.path()).await {
                Err(error) => assert!(error.to_string().contains(name), "{what}: {error}"),
                Ok(engine) => {
                    register_functions(&engine, &world);
                    engine.runner().recover().await.unwrap();
                    for (question, answer) in answers(&engine).await {
                        match answer {
                            Ok(answer) => assert_eq!(
                                Some(&Ok(answer)),
                                before.get(&question),
                                "{what}: {question}"
                            ),
                            Err(error) => {
                                assert!(error.contains(name), "{what}: {question}: {error}");
                            }
                        }
                    }
                    engine.stop().await;
                }
            }
        });
        second.shutdown_timeout(Duration::from_secs(10));
    }
}

/// Calls fail with the file's name while there is no room, what is under way waits, and all of it
/// goes on by itself once there is room again.
#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    for _ in 0..5 {
        let room = rand::random_range(0..1_500_000);
        println!("room for {room} bytes");
        let world = World::new();
        let folder = tempfile::tempdir().unwrap();
        let faults = Faults::new(folder.path());
        let runtime = runtime();
        runtime.block_on(async {
            let engine = open_in(&world, folder.path(), &faults).await.unwrap();
            faults.set_room(Some(room));
            let tried = tokio::time::timeout(Duration::from_millis(500), drive(&engine, &world));
            if let Ok(Err(error)) = tried.await {
                assert!(error.contains("free some space"), "{error}");
            }
            faults.set_room(None);
            let mut errors = Vec::new();
            while let Err(error) = drive(&engine, &world).await {
                errors.push(error);
                assert!(errors.len() < 20, "{errors:?}");
            }
            check_always(&engine, &world).await;
            check_end(&engine).await;
            engine.stop().await;
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
}
