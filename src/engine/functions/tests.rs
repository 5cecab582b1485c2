//! Functions called as the engine calls them. The programs are a runtime in plain Python; where
//! there is no python3 its tests say so and pass.

use std::process::Command;

use futures::FutureExt;
use futures::future::join_all;

use super::super::logs::{Order, Query, Streams};
use super::*;

const RUNTIME: &str = include_str!("tests/runtime.py");

struct House {
    functions: Functions,
    logs: Logs,
    folder: tempfile::TempDir,
}

impl House {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::<Clock>::default();
        let logs = Logs::open(&folder.path().join("logs"), Arc::clone(&clock)).unwrap();
        std::fs::write(folder.path().join("runtime.py"), RUNTIME).unwrap();
        let functions = Functions::new(logs.clone(), clock);
        let credentials = Credentials {
            access_key: "AK".to_owned(),
            secret_key: "secret".to_owned(),
        };
        functions.serve_at("http://127.0.0.1:1".to_owned(), credentials);
        Self {
            functions,
            logs,
            folder,
        }
    }

    fn program(&self) -> Program {
        Program {
            command: ["python3", "-u", "runtime.py"].map(str::to_owned).into(),
            folder: self.folder.path().to_owned(),
            handler: "app.handler".to_owned(),
            memory: 512,
            instances: 2,
            environment: BTreeMap::from([("GREETING".to_owned(), "hello".to_owned())]),
        }
    }

    /// Registers the runtime as function `f`; `None` where it cannot run.
    fn with_python(change: impl FnOnce(&mut Program, &mut Settings)) -> Option<Self> {
        if Command::new("python3").arg("--version").output().is_err() {
            println!("skipped: there is no python3 to run a function with");
            return None;
        }
        let house = Self::new();
        let mut program = house.program();
        let mut settings = Settings {
            source: Source::Url(String::new()),
            timeout: Duration::from_secs(30),
            reserved: None,
        };
        change(&mut program, &mut settings);
        settings.source = Source::Command(program);
        house.functions.register_external("f", settings);
        Some(house)
    }

    async fn answer(&self, event: Value) -> Result<Value, Failed> {
        let call = Call::new(Payload::Value(event));
        let answer = self.functions.invoke("f", call).await.unwrap();
        answer.result.map(Payload::into_value)
    }

    async fn ok(&self, event: Value) -> Value {
        self.answer(event).await.unwrap()
    }

    async fn fails(&self, event: Value) -> (String, Value) {
        let failed = self.answer(event).await.unwrap_err();
        let payload = serde_json::from_slice(&failed.payload).unwrap();
        (failed.error_type, payload)
    }

    /// All log lines of `f`, each with its stream.
    async fn lines(&self) -> Vec<(String, String)> {
        self.logs.flush().await.unwrap();
        let query = Query {
            group: "/aws/lambda/f".to_owned(),
            streams: Streams::All,
            from: 0,
            until: i64::MAX,
            order: Order::OldestFirst,
            after: None,
            limit: 10_000,
            bytes: 16 << 20,
        };
        let page = self.logs.read(&query, |_| true).unwrap();
        let lines = page.events.into_iter();
        lines
            .map(|it| (it.stream.to_string(), it.message))
            .collect()
    }

    async fn text(&self) -> String {
        self.lines()
            .await
            .into_iter()
            .map(|(_, line)| line)
            .collect()
    }
}

fn is_running(process: &Value) -> bool {
    let state = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    // Ended but not reaped by whoever started it is ended.
    !state.is_empty() && !state.contains(") Z ")
}

async fn until(mut holds: impl FnMut() -> bool) {
    let waiting = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.expect("it comes to hold");
}

#[test]
fn a_function_is_found_by_all_its_names() {
    let names = [
        ("f", ("f", None)),
        ("f:$LATEST", ("f", Some("$LATEST"))),
        ("123456789012:function:f", ("f", None)),
        ("function:f", ("f", None)),
        (
            "arn:aws:lambda:eu-west-1:123456789012:function:f",
            ("f", None),
        ),
        (
            "arn:aws:lambda:us-east-1:000000000000:function:f:live",
            ("f", Some("live")),
        ),
        ("my-function:live", ("my-function", Some("live"))),
        ("", ("", None)),
    ];
    for (name, parts) in names {
        assert_eq!(split(name), parts, "{name}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_refused_by_its_arn() {
    let house = House::new();
    house
        .functions
        .register("f", |event| async { Ok(event) }.boxed());
    for (name, arn) in [("g", "g"), ("f:live", "f:live")] {
        let refusal = house.functions.find(name).err().unwrap();
        let message =
            format!("Function not found: arn:aws:lambda:us-east-1:000000000000:function:{arn}");
        assert_eq!(refusal.to_string(), message);
        assert_eq!(refusal.code(), (404, "ResourceNotFoundException"));
    }
}

#[tokio::test]
async fn a_builtin_that_fails_is_logged_and_one_that_succeeds_is_not() {
    let house = House::new();
    house.functions.register("f", |event| {
        async move {
            match event["bad"].as_str() {
                None => Ok(event),
                Some("panic") => panic!("as the test wants"),
                Some(message) => Err(FunctionError {
                    error_type: "Bad".to_owned(),
                    message: message.to_owned(),
                }),
            }
        }
        .boxed()
    });
    assert_eq!(house.ok(json!({"n": 1})).await, json!({"n": 1}));
    assert!(house.logs.group("/aws/lambda/f").is_none());

    let (error, payload) = house.fails(json!({"bad": "row 3"})).await;
    assert_eq!(
        (error.as_str(), &payload["errorMessage"]),
        ("Bad", &json!("row 3"))
    );
    let request = payload["requestId"].as_str().unwrap();
    let lines = house.lines().await;
    let texts: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
    let [start, error, end, report] = texts.as_slice() else {
        panic!("{texts:?}")
    };
    assert_eq!(
        *start,
        format!("START RequestId: {request} Version: $LATEST\n")
    );
    assert_eq!(*error, "[ERROR] Bad: row 3\n");
    assert_eq!(*end, format!("END RequestId: {request}\n"));
    assert!(
        report.starts_with(&format!("REPORT RequestId: {request}\tDuration: ")),
        "{report}"
    );
    let (day, instance) = lines[0].0.split_once("/[$LATEST]").unwrap();
    assert_eq!((day.len(), instance.len()), (10, 32));

    let (error, payload) = house.fails(json!({"bad": "panic"})).await;
    assert_eq!(error, "Runtime.ExitError");
    assert!(
        payload["errorMessage"]
            .as_str()
            .unwrap()
            .ends_with("Error: the function panicked")
    );
}

#[tokio::test]
async fn many_failures_of_a_builtin_are_counted_and_not_all_logged() {
    let house = House::new();
    house.functions.register("f", |_| {
        let error = FunctionError {
            error_type: "Bad".to_owned(),
            message: String::new(),
        };
        async { Err(error) }.boxed()
    });
    let began = std::time::Instant::now();
    for _ in 0..5_000 {
        house.fails(json!({})).await;
    }
    let windows = 1 + began.elapsed().as_secs() as usize;
    let starts = house.text().await.matches("START").count();
    assert!(
        (200..=200 * windows).contains(&starts),
        "{starts} in {windows} s"
    );
}

#[tokio::test]
async fn a_program_is_started_once_and_used_again() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let first = house.ok(json!({"n": 1, "text": "ä"})).await;
    assert_eq!(first["event"], json!({"n": 1, "text": "ä"}));
    let second = house.ok(json!({"n": 2})).await;
    assert_eq!(first["pid"], second["pid"]);

    let lines = house.lines().await;
    assert!(
        lines.iter().all(|(stream, _)| *stream == lines[0].0),
        "one instance, one stream"
    );
    let kinds: Vec<&str> = lines
        .iter()
        .filter_map(|(_, line)| line.split(' ').next())
        .collect();
    assert_eq!(kinds, ["START", "END", "REPORT", "START", "END", "REPORT"]);
    let reports: Vec<bool> = lines
        .iter()
        .filter(|(_, line)| line.starts_with("REPORT"))
        .map(|(_, line)| line.contains("\tMemory Size: 512 MB") && line.contains("Init Duration"))
        .collect();
    assert_eq!(reports, [true, false], "only the first one is cold");
}

#[tokio::test]
async fn programs_see_lambdas_headers_and_variables_and_nothing_of_ours() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let mut call = Call::new(Payload::Value(json!({"do": "headers"})));
    call.client_context = Some(r#"{"custom":{}}"#.to_owned());
    let request = call.request.clone();
    let before = Timestamp::now().as_millisecond();
    let answer = house.functions.invoke("f", call).await.unwrap();
    let headers = answer.result.unwrap().into_value();
    assert_eq!(headers["lambda-runtime-aws-request-id"], json!(request));
    assert_eq!(headers["lambda-runtime-client-context"], r#"{"custom":{}}"#);
    assert_eq!(headers["lambda-runtime-invoked-function-arn"], arn("f"));
    let trace = headers["lambda-runtime-trace-id"].as_str().unwrap();
    assert!(
        trace.starts_with("Root=1-") && trace.ends_with(";Sampled=0"),
        "{trace}"
    );
    let deadline = headers["lambda-runtime-deadline-ms"].as_str().unwrap();
    let left = deadline.parse::<i64>().unwrap() - before;
    assert!((29_000..60_000).contains(&left), "{left}");

    let variables = house.ok(json!({"do": "environment"})).await;
    let variables = variables.as_object().unwrap();
    for (name, value) in [
        ("_HANDLER", "app.handler"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:1"),
        ("AWS_ACCESS_KEY_ID", "AK"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_LAMBDA_FUNCTION_NAME", "f"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "512"),
        ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/f"),
        ("LAMBDA_TASK_ROOT", house.folder.path().to_str().unwrap()),
        ("GREETING", "hello"),
        ("TZ", ":UTC"),
    ] {
        assert_eq!(variables.get(name), Some(&json!(value)), "{name}");
    }
    let stream = &house.lines().await[0].0;
    assert_eq!(variables["AWS_LAMBDA_LOG_STREAM_NAME"], json!(stream));
    // Cargo sets many variables for a test; none of them is the function's business.
    let ours: Vec<&String> = variables
        .keys()
        .filter(|it| it.starts_with("CARGO"))
        .collect();
    assert!(ours.is_empty(), "{ours:?}");
}

#[tokio::test]
async fn an_error_is_the_runtimes_own_text() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let (error, payload) = house.fails(json!({"do": "raise", "text": "bad row"})).await;
    assert_eq!(error, "ValueError");
    assert_eq!(payload["errorMessage"], "bad row");
    assert_eq!(payload["stackTrace"], json!(["  line 1"]));
    let request = payload["requestId"].as_str().unwrap();
    assert!(
        house
            .text()
            .await
            .contains(&format!("START RequestId: {request} "))
    );
    // Such an instance is as good as before.
    house.ok(json!({})).await;
}

#[tokio::test]
async fn an_answer_that_is_not_json_is_a_text() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    assert_eq!(
        house.ok(json!({"do": "text", "text": "{oh"})).await,
        json!("{oh")
    );
}

#[tokio::test]
async fn a_function_that_takes_too_long_is_ended() {
    let Some(house) = House::with_python(|_, settings| settings.timeout = Duration::from_secs(1))
    else {
        return;
    };
    let first = house.ok(json!({})).await["pid"].clone();
    let (error, payload) = house.fails(json!({"do": "sleep", "seconds": 60})).await;
    assert_eq!(error, "Sandbox.Timedout");
    let message = payload["errorMessage"].as_str().unwrap();
    assert!(message.starts_with("RequestId: "), "{message}");
    assert!(
        message.ends_with(" Error: Task timed out after 1.00 seconds"),
        "{message}"
    );
    assert!(!is_running(&first));
    let text = house.text().await;
    assert!(
        text.contains(" Task timed out after 1.00 seconds\n"),
        "{text}"
    );
    assert!(text.trim_end().ends_with("Status: timeout"), "{text}");
    let second = house.ok(json!({})).await;
    assert_ne!(second["pid"], first);
}

#[tokio::test]
async fn a_crash_says_how_the_runtime_ended_and_the_next_call_runs() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    for (event, end) in [
        (
            json!({"do": "exit", "code": 7}),
            "Runtime exited with error: exit status 7",
        ),
        (
            json!({"do": "exit", "code": 0}),
            "Runtime exited without providing a reason",
        ),
        (
            json!({"do": "signal", "number": 11}),
            "Runtime exited with error: signal: segmentation fault",
        ),
    ] {
        let (error, payload) = house.fails(event).await;
        assert_eq!(error, "Runtime.ExitError");
        let message = payload["errorMessage"].as_str().unwrap();
        assert!(message.starts_with("RequestId: "), "{message}");
        assert!(message.ends_with(&format!(" Error: {end}")), "{message}");
        let text = house.text().await;
        assert!(
            text.contains(&format!("{message}\nRuntime.ExitError\n")),
            "{text}"
        );
        house.ok(json!({})).await;
    }
    let text = house.text().await;
    assert!(text.contains("going\n"), "{text}");
    assert!(
        text.contains("\tStatus: error\tError Type: Runtime.ExitError\n"),
        "{text}"
    );
}

#[tokio::test]
async fn a_runtime_that_leaves_after_its_answer_is_replaced() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let first = house.ok(json!({"leave": true})).await;
    let second = house.ok(json!({})).await;
    assert_ne!(first["pid"], second["pid"]);
}

#[tokio::test]
async fn a_start_that_fails_is_tried_once_more_within_the_call() {
    for (how, name) in [
        ("exit", "Runtime.ExitError"),
        ("error", "Runtime.ImportModuleError"),
    ] {
        let Some(house) = House::with_python(|program, _| {
            let environment = &mut program.environment;
            environment.insert("FAIL_AT_START".to_owned(), how.to_owned());
        }) else {
            return;
        };
        let (error, payload) = house.fails(json!({})).await;
        assert_eq!(error, name);
        assert!(payload["errorMessage"].is_string());
        let text = house.text().await;
        assert!(
            text.contains(&format!(
                "\tPhase: init\tStatus: error\tError Type: {name}\n"
            )),
            "{text}"
        );
        if how == "exit" {
            assert_eq!(text.matches("cannot begin\n").count(), 2, "{text}");
            let message = payload["errorMessage"].as_str().unwrap();
            assert!(message.ends_with("exit status 3"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let Some(house) = House::with_python(|program, _| program.command = vec!["./none".to_owned()])
    else {
        return;
    };
    let (error, payload) = house.fails(json!({})).await;
    assert_eq!(error, "Runtime.InvalidEntrypoint");
    let message = payload["errorMessage"].as_str().unwrap();
    assert!(message.contains("./none: No such file"), "{message}");
}

#[tokio::test]
async fn calls_at_once_have_instances_of_their_own_and_more_wait() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let folder = house.folder.path().join("met");
    std::fs::create_dir(&folder).unwrap();
    // They come back only when both are there at once; the third waits for one of them.
    let meet = json!({"do": "meet", "folder": folder, "instances": 2});
    let answers = join_all([meet.clone(), meet.clone(), meet].map(|event| house.ok(event))).await;
    let mut processes: Vec<i64> = answers
        .iter()
        .map(|it| it["pid"].as_i64().unwrap())
        .collect();
    processes.sort_unstable();
    processes.dedup();
    assert_eq!(processes.len(), 2);
    let lines = house.lines().await;
    let streams: std::collections::BTreeSet<&String> = lines.iter().map(|(it, _)| it).collect();
    assert_eq!(streams.len(), 2);
}

#[tokio::test]
async fn more_calls_than_are_reserved_are_throttled() {
    let Some(house) = House::with_python(|_, settings| settings.reserved = Some(1)) else {
        return;
    };
    house.ok(json!({})).await;
    let sleeping = house.ok(json!({"do": "sleep", "seconds": 0.5}));
    let refused = async {
        let call = Call::new(Payload::Value(json!({})));
        house.functions.invoke("f", call).await.unwrap_err()
    };
    let (_, refusal) = tokio::join!(sleeping, refused);
    assert_eq!(refusal, Refusal::Throttled);
    assert_eq!(refusal.code(), (429, "TooManyRequestsException"));
}

#[tokio::test]
async fn a_result_that_is_too_large_is_thrown_away() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let most = house
        .ok(json!({"do": "large", "bytes": MAX_EVENT - 2}))
        .await;
    assert_eq!(most.as_str().unwrap().len(), MAX_EVENT - 2);
    let (error, payload) = house.fails(json!({"do": "large", "bytes": 20 << 20})).await;
    assert_eq!(error, "Function.ResponseSizeTooLarge");
    let message = payload["errorMessage"].as_str().unwrap();
    assert!(message.contains("(20971522 bytes) exceeded"), "{message}");
    house.ok(json!({})).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_function_that_takes_too_much_memory_is_killed() {
    let Some(house) = House::with_python(|program, _| program.memory = 128) else {
        return;
    };
    let (error, payload) = house
        .fails(json!({"do": "take", "megabytes": 300, "seconds": 60}))
        .await;
    assert_eq!(error, "Runtime.ExitError");
    let message = payload["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Runtime exited with error: signal: killed"),
        "{message}"
    );
    let text = house.text().await;
    let used = text.rsplit_once("Max Memory Used: ").unwrap().1;
    let used: u64 = used.split(' ').next().unwrap().parse().unwrap();
    assert!((128..600).contains(&used), "{text}");
}

#[tokio::test]
async fn what_was_written_before_the_answer_is_in_the_log_before_its_end() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    for _ in 0..20 {
        let mut call = Call::new(Payload::Value(
            json!({"do": "write", "lines": 3, "width": 2}),
        ));
        call.wants_log = true;
        let answer = house.functions.invoke("f", call).await.unwrap();
        let log = String::from_utf8(answer.log).unwrap();
        let kinds: Vec<&str> = log
            .lines()
            .map(|it| it.split(' ').next().unwrap())
            .collect();
        assert_eq!(
            kinds,
            ["START", "xx", "xx", "xx", "and", "END", "REPORT"],
            "{log}"
        );
    }
}

#[tokio::test]
async fn a_flood_of_lines_is_kept_line_by_line_and_ends() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    // 100 MB, of which the log may keep less; a line of a megabyte is cut.
    house
        .ok(json!({"do": "write", "lines": 100, "width": 1 << 20}))
        .await;
    let lines = house.lines().await;
    let longest = lines.iter().map(|(_, line)| line.len()).max().unwrap();
    assert!((200_000..=256 * 1024).contains(&longest), "{longest}");
    let mut call = Call::new(Payload::Value(
        json!({"do": "write", "lines": 100_000, "width": 99}),
    ));
    call.wants_log = true;
    let answer = house.functions.invoke("f", call).await.unwrap();
    assert!(answer.log.len() <= 4096);
    assert!(String::from_utf8_lossy(&answer.log).contains("\nEND RequestId: "));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn no_process_is_left_when_the_functions_stop() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let own = house.ok(json!({})).await["pid"].clone();
    let grandchild = house.ok(json!({"do": "child"})).await;
    assert!(is_running(&own) && is_running(&grandchild));
    let sleeping = tokio::spawn({
        let functions = house.functions.clone();
        async move {
            let event = json!({"do": "sleep", "seconds": 60});
            functions
                .invoke("f", Call::new(Payload::Value(event)))
                .await
        }
    });
    house.functions.stop().await;
    // It was at work, or not yet begun.
    assert_eq!(sleeping.await.unwrap(), Err(Refusal::Stopping));
    until(|| !is_running(&own) && !is_running(&grandchild)).await;
    let call = Call::new(Payload::Value(json!({})));
    assert_eq!(
        house.functions.invoke("f", call).await,
        Err(Refusal::Stopping)
    );
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn what_a_function_started_ends_with_its_instance() {
    let Some(house) = House::with_python(|_, _| {}) else {
        return;
    };
    let grandchild = house.ok(json!({"do": "child"})).await;
    assert!(is_running(&grandchild));
    house.fails(json!({"do": "exit", "code": 1})).await;
    until(|| !is_running(&grandchild)).await;
}

/// Answers one request with `answer`, and gives back what was asked.
async fn answer_once(answer: String) -> (String, tokio::task::JoinHandle<String>) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/rate", listener.local_addr().unwrap());
    let asked = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut asked = String::new();
        let mut part = [0; 4096];
        while !asked.ends_with('}') {
            let size = stream.read(&mut part).await.unwrap();
            asked.push_str(std::str::from_utf8(&part[..size]).unwrap());
        }
        stream.write_all(answer.as_bytes()).await.unwrap();
        asked
    });
    (url, asked)
}

fn http(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}")
}

impl House {
    fn with_url(url: String) -> Self {
        let house = Self::new();
        let settings = Settings {
            source: Source::Url(url),
            timeout: Duration::from_secs(1),
            reserved: None,
        };
        house.functions.register_external("f", settings);
        house
    }
}

#[tokio::test]
async fn an_event_is_posted_to_a_url_and_the_answer_is_the_result() {
    let (url, asked) = answer_once(http("200 OK", "", r#"{"rate":2}"#)).await;
    let house = House::with_url(url);
    assert_eq!(house.ok(json!({"n": 1})).await, json!({"rate": 2}));
    let asked = asked.await.unwrap();
    assert!(asked.starts_with("POST /rate HTTP/1.1\r\n"), "{asked}");
    assert!(asked.ends_with("\r\n\r\n{\"n\":1}"), "{asked}");
    assert!(asked.contains("lambda-runtime-aws-request-id: "), "{asked}");
}

#[tokio::test]
async fn what_goes_wrong_behind_a_url_has_lambdas_shape() {
    let own = r#"{"errorType":"RateError","errorMessage":"none"}"#;
    for (answer, error, message) in [
        (
            http("503 Service Unavailable", "", "busy"),
            "Url.Status",
            "answered 503 Service Unavailable: busy",
        ),
        (
            http("500 Internal Server Error", "", own),
            "RateError",
            "none",
        ),
        (
            http("200 OK", "x-amz-function-error: Unhandled\r\n", own),
            "RateError",
            "none",
        ),
        (
            http("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
            "Url.Status",
            "answered 302 Found: ",
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{".to_owned(),
            "Url.Unreachable",
            "broke off",
        ),
    ] {
        let (url, _asked) = answer_once(answer).await;
        let house = House::with_url(url);
        let (name, payload) = house.fails(json!({})).await;
        assert_eq!(name, error);
        assert_eq!(payload["errorType"], error);
        assert!(
            payload["errorMessage"].as_str().unwrap().contains(message),
            "{payload}"
        );
        let text = house.text().await;
        assert!(
            text.starts_with("START RequestId: ") && text.contains(error),
            "{text}"
        );
    }
    let house = House::with_url("http://127.0.0.1:1/".to_owned());
    let (name, payload) = house.fails(json!({})).await;
    assert_eq!(name, "Url.Unreachable");
    let message = payload["errorMessage"].as_str().unwrap();
    assert!(
        message.contains("POST http://127.0.0.1:1/ failed: "),
        "{message}"
    );
}

#[tokio::test]
async fn a_url_that_does_not_answer_times_out() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let house = House::with_url(format!("http://{}", listener.local_addr().unwrap()));
    let (name, payload) = house.fails(json!({})).await;
    assert_eq!(name, "Sandbox.Timedout");
    let message = payload["errorMessage"].as_str().unwrap();
    assert!(
        message.ends_with("Task timed out after 1.00 seconds"),
        "{message}"
    );
}

/// The keeper's pipe closes with the engine's process, however that ends.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_keeper_kills_what_is_left_when_its_pipe_closes() {
    use std::io::BufRead as _;
    use std::os::unix::process::CommandExt as _;
    let keeper = Keeper::start().unwrap();
    let start = || {
        let mut process = Command::new("sh")
            .args(["-c", "sleep 600 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap();
        let mut child = String::new();
        let output = process.stdout.take().unwrap();
        std::io::BufReader::new(output)
            .read_line(&mut child)
            .unwrap();
        (process, json!(child.trim().parse::<u32>().unwrap()))
    };
    let ((mut ended, its_child), (mut left, left_child)) = (start(), start());
    keeper.begin(ended.id());
    keeper.begin(left.id());
    keeper.end(ended.id());
    until(|| !is_running(&its_child)).await;
    assert!(is_running(&left_child));
    drop(keeper);
    until(|| !is_running(&left_child)).await;
    ended.wait().unwrap();
    left.wait().unwrap();
}
