//! `--help` lists the fields of every JSON document; what is printed has exactly those. And the
//! ways in which a command that waits may end.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::house::{Given, Lookup, Serving, fanout};

/// A document as `--help` writes it: `{version, runs: [run], note?}`.
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Object(BTreeMap<String, Shape>),
    List(Box<Shape>),
    /// A word: another shape by that name, or any value.
    Named(String),
}

struct Parser<'a>(std::iter::Peekable<std::str::Chars<'a>>);

impl Parser<'_> {
    fn blank(&mut self) {
        while self.0.next_if(|c| c.is_whitespace()).is_some() {}
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(c) = self
            .0
            .next_if(|c| c.is_alphanumeric() || "_\"-?".contains(*c))
        {
            word.push(c);
        }
        word
    }

    /// `None` for what is no shape: an ellipsis, or prose.
    fn shape(&mut self) -> Option<Shape> {
        self.blank();
        match self.0.peek()? {
            '{' => {
                self.0.next();
                let mut members = BTreeMap::new();
                loop {
                    self.blank();
                    let name = self.word();
                    if name.is_empty() {
                        return None;
                    }
                    self.blank();
                    let shape = match self.0.next_if_eq(&':') {
                        Some(_) => self.shape()?,
                        None => Shape::Named(name.clone()),
                    };
                    members.insert(name, shape);
                    self.blank();
                    match self.0.next()? {
                        ',' => {}
                        '}' => return Some(Shape::Object(members)),
                        _ => return None,
                    }
                }
            }
            '[' => {
                self.0.next();
                let inner = self.shape()?;
                self.blank();
                (self.0.next()? == ']').then(|| Shape::List(Box::new(inner)))
            }
            _ => {
                let word = self.word();
                (!word.is_empty()).then_some(Shape::Named(word))
            }
        }
    }
}

/// Bytes from an opening brace to the one that closes it.
fn extent(text: &str) -> usize {
    let mut depth = 0_i32;
    let closed = text.char_indices().find(|(_, c)| {
        depth += i32::from(*c == '{') - i32::from(*c == '}');
        depth == 0
    });
    closed.map_or(text.len(), |(at, _)| at)
}

/// What all of `--help` says of documents.
#[derive(Default)]
struct Book {
    /// Verb to its documents.
    documents: BTreeMap<String, Vec<Shape>>,
    /// `a run being {…}`, `items: {…}`.
    named: BTreeMap<String, Shape>,
}

impl Book {
    fn read(&mut self, verb: &str) {
        let folder = tempfile::tempdir().unwrap();
        let mut command = fanout(folder.path());
        let help = command
            .args(verb.split(' '))
            .arg("--help")
            .output()
            .unwrap();
        assert!(help.status.success(), "{verb}");
        let text = String::from_utf8(help.stdout).unwrap();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        let mut documents = Vec::new();
        let mut read_to = 0;
        for (at, _) in text.match_indices('{') {
            // What is inside a shape is defined there only.
            if at < read_to {
                continue;
            }
            read_to = at + extent(&text[at..]);
            let Some(shape) = Parser(text[at..].chars().peekable()).shape() else {
                continue;
            };
            let before = text[..at].trim_end();
            let name = before
                .strip_suffix(" being")
                .or_else(|| before.strip_suffix(':'));
            let name = name.and_then(|it| it.rsplit([' ', '{', ',']).next());
            match (&shape, name) {
                (Shape::Object(members), _) if members.contains_key("version") => {
                    documents.push(shape);
                }
                (_, Some(name)) if !name.is_empty() && name != "JSON" => {
                    self.named.entry(name.to_owned()).or_insert(shape);
                }
                _ => {}
            }
        }
        self.documents.insert(verb.to_owned(), documents);
    }

    /// Why the value is not of the shape.
    fn odd(&self, shape: &Shape, value: &Value, place: &str) -> Option<String> {
        match (shape, value) {
            (_, Value::Null) => None,
            (Shape::Object(members), Value::Object(given)) => {
                // What may be absent has a question mark.
                let known: Vec<&str> = members
                    .keys()
                    .map(|name| name.trim_end_matches('?'))
                    .filter(|name| members.contains_key(*name) || given.contains_key(*name))
                    .collect();
                let mut there: Vec<&str> = given.keys().map(String::as_str).collect();
                there.sort_unstable();
                if known != there {
                    return Some(format!("{place}: documented {known:?}, printed {there:?}"));
                }
                members.iter().find_map(|(name, shape)| {
                    let name = name.trim_end_matches('?');
                    let value = given.get(name).unwrap_or(&Value::Null);
                    self.odd(shape, value, &format!("{place}/{name}"))
                })
            }
            (Shape::Object(_), other) => Some(format!("{place}: no object: {other}")),
            (Shape::List(inner), Value::Array(items)) => items
                .iter()
                .find_map(|it| self.odd(inner, it, &format!("{place}/*"))),
            (Shape::List(_), other) => Some(format!("{place}: no list: {other}")),
            (Shape::Named(name), value) => {
                let named = self.named.get(name).filter(|_| value.is_object());
                named.and_then(|shape| self.odd(shape, value, place))
            }
        }
    }

    /// Why the printed document is none of the verb's.
    fn none_of(&self, verb: &str, printed: &Value) -> Option<String> {
        let documents = &self.documents[verb];
        assert_eq!(printed["version"], 1, "{verb}: {printed}");
        let odd: Vec<String> = documents
            .iter()
            .filter_map(|shape| self.odd(shape, printed, ""))
            .collect();
        (odd.len() == documents.len()).then(|| format!("{verb}: {}", odd.join("\n  or ")))
    }
}

/// What prints text for another program to read, and no data.
const TEXTS: [&str; 3] = ["completions", "man", "help"];

/// The verbs that `--help` lists, those below a group as `outputs ls`.
fn verbs_below(group: &[&str]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let help = fanout(folder.path()).args(group).arg("--help").output();
    let help = String::from_utf8(help.unwrap().stdout).unwrap();
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            // What is further in goes on with the line above.
            let line = line.strip_prefix("  ").filter(|it| !it.starts_with(' '))?;
            line.split_whitespace().next().map(str::to_owned)
        })
        .filter(|verb| !TEXTS.contains(&verb.as_str()))
        .flat_map(
            |verb| match verbs_below(&[group, &[verb.as_str()]].concat()) {
                below if below.is_empty() => vec![verb],
                below => below.iter().map(|it| format!("{verb} {it}")).collect(),
            },
        )
        .collect()
}

fn book() -> Book {
    let mut book = Book::default();
    // As they are listed: a shape that several verbs have is named by the first.
    for verb in verbs_below(&[]) {
        book.read(&verb);
    }
    book
}

#[test]
fn every_verb_with_json_documents_its_fields() {
    let book = book();
    assert!(28 < book.documents.len(), "{:?}", book.documents.keys());
    for (verb, documents) in &book.documents {
        assert!(!documents.is_empty(), "{verb} --help lists no fields");
    }
    assert!(book.named.contains_key("run"), "{:?}", book.named.keys());
}

/// Waits until the run's Map Run is known to be going.
fn until_mapping(engine: &Serving, run: &str) {
    let mut command = fanout(engine.folder());
    command.arg("--data-dir").arg(engine.data());
    command.args(["--local", "watch", run, "--ndjson"]);
    let mut watching = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    let mut snapshots = lines.map(|line| serde_json::from_str::<Value>(&line.unwrap()).unwrap());
    assert!(
        snapshots.any(|it| it["items"].is_object()),
        "{run} has ended"
    );
    watching.kill().unwrap();
    watching.wait().unwrap();
}

#[test]
fn what_is_printed_has_exactly_the_documented_fields() {
    let book = book();
    let mut engine = Serving::start();
    let lookup = Lookup::start();
    let words = engine.folder().join("words.txt");
    std::fs::write(&words, "alpha\nbad beta\ngamma\nbad delta\n").unwrap();
    let words = words.to_str().unwrap().to_owned();
    let words = words.as_str();
    let path = |name: &str| engine.folder().join(name).to_str().unwrap().to_owned();
    let (plan, merge, template) = (path("plan.json"), path("merge.json"), path("template"));
    let (file, here) = (path("f.jsonl"), path("got"));
    let input = serde_json::json!({"request": {"url": format!("{}/{{line}}", lookup.url())},
        "tolerate": 100})
    .to_string();
    let mut odd = Vec::new();
    let mut json = |verb: &str, more: &[&str], code: i32| {
        let verbs: Vec<&str> = verb.split(' ').collect();
        let given = engine.fanout(&[&verbs[..], more, &["--json", "--yes"]].concat());
        odd.extend(book.none_of(verb, &given.exit(code).json()));
    };
    let start = [words, "--input", &input, "--name", "first"];
    json("start", &[&start[..], &["--dry-run"]].concat(), 0);
    json("start", &[&start[..], &["--wait"]].concat(), 3);
    let second = [words, "--input", &input, "--name", "second"];
    json("start", &second, 0);
    json("wait", &["second"], 3);
    json("watch", &["second"], 3);
    json("runs", &[], 0);
    json("failures", &["first"], 0);
    json("failures", &["first", "--group"], 0);
    json("failures", &["first", "--line", "2"], 0);
    json("failures", &["first", "--attempts"], 0);
    json("failures", &["first", "--export", &file], 0);
    json("logs", &["first"], 0);
    json("redrive", &["first", "--dry-run"], 4);
    json("rerun", &["first", "--dry-run"], 0);
    // One that cannot end by itself can be changed and stopped.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{{line}}", silent.local_addr().unwrap());
    let hanging = serde_json::json!({"request": {"url": url}}).to_string();
    json("start", &[words, "--input", &hanging, "--name", "third"], 0);
    until_mapping(&engine, "third");
    json("limits", &["third", "--concurrency", "2"], 0);
    json("stop", &["third"], 0);
    json("wait", &["third"], 1);
    json("redrive", &["third", "--plan", &plan], 0);
    json("apply", &[&plan, "--dry-run"], 0);
    json("apply", &[&plan], 0);
    json("stop", &["third"], 0);
    lookup.repair();
    json("rerun", &["first"], 0);
    json("rerun", &["second", "--wait"], 0);
    json("resume", &[], 0);
    json("trail", &[], 0);
    json("machines", &[], 0);
    json("check", &["fanout"], 0);
    json("check", &["fanout", "--input"], 0);
    json("outputs ls", &["first"], 0);
    json("outputs cat", &["first", "--lines", "1-2"], 0);
    json("outputs search", &["first", "ok"], 0);
    json("outputs link", &["first"], 0);
    json("outputs get", &["first", "--to", &here], 0);
    json("outputs reconcile", &["second"], 0);
    json("outputs merge", &["second", "--dry-run"], 0);
    json("outputs merge", &["second", "--plan", &merge], 0);
    json("apply", &[&merge], 0);
    json("local env", &[], 0);
    json("local status", &[], 0);
    json("config show", &[], 0);
    // These two have a place of their own.
    for (verb, more) in [
        ("demo", ["--headless", "--lines", "20"]),
        ("deploy", ["--print", "--out", &template]),
    ] {
        let mut command = fanout(engine.folder());
        let command = command.env("AWS_REGION", "eu-west-1").arg("--json");
        let given = Given(command.arg(verb).args(more).output().unwrap());
        odd.extend(book.none_of(verb, &given.success().json()));
    }
    // Of a list each member is a line.
    let rows: [(&str, &[&str]); 5] = [
        ("machines", &["machines"]),
        ("failures", &["failures", "first"]),
        ("outputs", &["outputs", "ls", "first"]),
        ("trail", &["trail"]),
        ("runs", &["runs"]),
    ];
    for (list, verb) in rows {
        let given = engine.fanout(&[verb, &["--ndjson"]].concat()).success();
        let lines = given.stdout();
        assert!(!lines.is_empty(), "{list}");
        for line in lines.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            assert_eq!(row["version"], 1, "{list}: {row}");
        }
    }
    engine.kill();
    let reset = engine
        .fanout(&["local", "reset", "--json", "--yes"])
        .exit(0);
    odd.extend(book.none_of("local reset", &reset.json()));
    assert!(odd.is_empty(), "{}", odd.join("\n\n"));
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status();
    assert!(status.unwrap().success());
}

#[test]
fn a_pipeline_that_is_ended_or_out_of_time_leaves_the_run_going() {
    let engine = Serving::start();
    // A port that answers nothing keeps the run from ending.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/{{line}}", silent.local_addr().unwrap());
    let words = engine.folder().join("words.txt");
    std::fs::write(&words, "alpha\nbeta\n").unwrap();
    let input = serde_json::json!({"request": {"url": url}}).to_string();
    for (name, ending) in [("term", "TERM"), ("int", "INT")] {
        let mut command = fanout(engine.folder());
        let mut child = command
            .env("CI", "true")
            .arg("--data-dir")
            .arg(engine.data())
            .args([
                "--local",
                "start",
                words.to_str().unwrap(),
                "--input",
                &input,
            ])
            .args(["--name", name, "--wait", "--yes"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        // From the moment it is said to have begun, nothing is lost.
        let begun = format!("started {name}");
        said.find(|line| line.as_ref().is_ok_and(|it| *it == begun))
            .unwrap()
            .unwrap();
        signal(&child, ending);
        let rest: Vec<String> = said.map_while(Result::ok).collect();
        assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
        assert!(
            rest.iter().any(|it| it.contains("the run goes on")),
            "{rest:?}"
        );
        // And how to come back to it.
        let again = rest.iter().any(|it| {
            it.contains("`fanout wait ")
                && it.contains(&format!(":{name} "))
                && it.contains("--local")
        });
        assert!(again, "{rest:?}");
    }
    let late = engine
        .fanout(&["wait", "term", "--timeout", "1s", "--json"])
        .exit(124);
    assert!(
        late.stderr().contains("the run goes on"),
        "{}",
        late.stderr()
    );
    let runs = engine.fanout(&["runs", "--json"]).success().json();
    let states: Vec<&Value> = runs["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["status"])
        .collect();
    assert_eq!(states, ["RUNNING", "RUNNING"]);
    // Nobody can be asked, so nothing is stopped.
    let refused = engine.fanout(&["stop", "term"]).exit(4);
    assert!(refused.stderr().contains("--yes"), "{}", refused.stderr());
}
