//! The runtime without a dashboard.

use super::answers::paths;
use super::deeds::reporter;
use super::*;
use crate::client::Target;
use crate::model::ExecutionArn;
use crate::operations::Progress;

#[tokio::test]
async fn it_is_idle_when_all_is_answered() {
    let target = Target::Endpoint {
        url: "http://127.0.0.1:9".to_owned(),
        region: "us-east-1".to_owned(),
        access_key: "key".to_owned(),
        secret_key: "secret".to_owned(),
    };
    let options = client::Options {
        read_only: true,
        budget_share: 0.4,
        trail: None,
        shared_in: None,
    };
    let client = Client::connect(target, options).await.unwrap();
    let said = HostAction {
        key: 'R',
        title: "repair",
        run: std::sync::Arc::new(|| "repaired".to_owned()),
        is_spent: std::sync::Arc::new(|| false),
    };
    let (events, mut inbox) = mpsc::channel(8);
    let mut runtime = Runtime::new(client, vec![said], Ways::default(), events);
    runtime.perform(Effect::Host(0));
    assert!(!runtime.idle());
    while !matches!(inbox.recv().await, Some(Event::Said(text)) if text == "repaired") {}
    while !runtime.idle() {
        tokio::task::yield_now().await;
    }
    runtime.perform(Effect::ReadOnly);
    runtime.perform(Effect::Stop(ExecutionArn::new("arn")));
    while !matches!(inbox.recv().await, Some(Event::Said(text)) if text.contains("read-only")) {}
}

#[tokio::test]
async fn paths_are_completed_with_their_folder() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["ab.txt", "ac.txt", ".hidden"] {
        std::fs::write(folder.path().join(name), "").unwrap();
    }
    std::fs::create_dir(folder.path().join("ad")).unwrap();
    let base = folder.path().to_str().unwrap();
    let all = paths(&format!("{base}/a")).await.items;
    assert_eq!(
        all,
        [
            format!("{base}/ab.txt"),
            format!("{base}/ac.txt"),
            format!("{base}/ad/")
        ]
    );
    assert_eq!(paths(&format!("{base}/")).await.items.len(), 3);
    assert!(paths(&format!("{base}/none/x")).await.items.is_empty());
}

#[test]
fn progress_is_reported_at_its_beginning_and_end() {
    let (events, mut inbox) = mpsc::channel(8);
    let report = reporter(Deed::Start("run".to_owned()), events);
    for done in 0..=100 {
        report(Progress { done, total: 100 });
    }
    let mut seen = Vec::new();
    while let Ok(Event::Progress(_, progress)) = inbox.try_recv() {
        seen.push(progress.done);
    }
    assert_eq!((seen.first(), seen.last()), (Some(&0), Some(&100)));
}
