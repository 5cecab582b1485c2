//! Pages: each continues the question it belongs to, for a day.

use aws_sdk_sfn::types::RoutingConfigurationListItem;
use serde_json::json;

use crate::wired::{House, distributed, refusal, single};

/// What every listing does with its token: the listing's own call with `max_results` and
/// `next_token`, and the member that holds the results.
macro_rules! check_pages {
    ($what:literal, $list:expr, $items:ident, $count:expr) => {{
        let list = $list;
        let whole = list().send().await.unwrap();
        assert_eq!(whole.$items().len(), $count, $what);
        assert_eq!(whole.next_token(), None, $what);
        let first = list().max_results(1).send().await.unwrap();
        assert_eq!(first.$items(), &whole.$items()[..1], $what);
        let token = first.next_token().expect($what);
        let mut shown = first.$items().to_vec();
        let mut next = Some(token.to_owned());
        while let Some(token) = next {
            let page = list()
                .max_results(1)
                .next_token(token)
                .send()
                .await
                .unwrap();
            assert!(page.$items().len() <= 1, $what);
            shown.extend_from_slice(page.$items());
            next = page.next_token().map(str::to_owned);
        }
        assert_eq!(shown, whole.$items(), $what);
        let invalid = (
            "InvalidToken".to_owned(),
            "Invalid Token: 'Invalid token'".to_owned(),
        );
        let other = list().max_results(2).next_token(token);
        assert_eq!(refusal(other.send().await), invalid, $what);
        for garbage in ["x", "00", "e30="] {
            let foreign = list().max_results(1).next_token(garbage);
            assert_eq!(refusal(foreign.send().await), invalid, $what);
        }
        let many = refusal(list().max_results(1_001).send().await);
        assert_eq!(many.0, "ValidationException", $what);
        let text = "Member must have value less than or equal to 1000";
        assert!(many.1.ends_with(text), "{}: {}", $what, many.1);
        let long = refusal(list().next_token("x".repeat(4_000)).send().await);
        assert_eq!(long.0, "ValidationException", $what);
        // 0 is as many as without it.
        let all = list().max_results(0).send().await.unwrap();
        assert_eq!(all.$items().len(), $count, $what);
    }};
}

/// API reference, "nextToken" of each list action: the same question goes on with the token; with
/// other arguments, a day later, or with anything else for a token, the answer is InvalidToken.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_belong_to_their_question_for_a_day() {
    let house = House::new().await;
    let sfn = &house.sfn;
    let machine = house
        .create(
            "m",
            &distributed(
                "EXPRESS",
                json!({"Retry": [
            {"ErrorEquals": ["States.ALL"], "BackoffRate": 1, "MaxAttempts": 2}]}),
            ),
        )
        .await;
    house.fail([1]);
    let run = house.start_machine(&machine, json!([1])).await;
    run.ended().await;
    let mapped = house.start_machine(&machine, json!([2, 3, 4])).await;
    mapped.ended().await;
    house.start_machine(&machine, json!([])).await.ended().await;
    for name in ["a", "b"] {
        house
            .create(name, &single(json!({"Type": "Pass", "End": true})))
            .await;
        sfn.create_activity().name(name).send().await.unwrap();
    }
    let publish = || {
        sfn.publish_state_machine_version()
            .state_machine_arn(&machine)
    };
    publish().send().await.unwrap();
    let update = sfn.update_state_machine().state_machine_arn(&machine);
    let other = distributed("STANDARD", json!({})).to_string();
    update.definition(other).send().await.unwrap();
    publish().send().await.unwrap();
    for name in ["one", "two"] {
        let route = RoutingConfigurationListItem::builder().weight(100);
        let route = route.state_machine_version_arn(format!("{machine}:1"));
        let alias = sfn.create_state_machine_alias().name(name);
        let alias = alias.routing_configuration(route.build().unwrap());
        alias.send().await.unwrap();
    }

    let machines = || sfn.list_state_machines();
    check_pages!("ListStateMachines", machines, state_machines, 3);
    let executions = || sfn.list_executions().state_machine_arn(&machine);
    check_pages!("ListExecutions", executions, executions, 3);
    let map = mapped.map_run().await.arn;
    let children = || sfn.list_executions().map_run_arn(&map);
    check_pages!("ListExecutions of a Map Run", children, executions, 3);
    let map_runs = || sfn.list_map_runs().execution_arn(&run.arn);
    check_pages!("ListMapRuns", map_runs, map_runs, 3);
    let events = run.events().await.len();
    let history = || sfn.get_execution_history().execution_arn(&run.arn);
    check_pages!("GetExecutionHistory", history, events, events);
    let reverse = || history().reverse_order(true);
    check_pages!("GetExecutionHistory, reversed", reverse, events, events);
    let versions = || {
        sfn.list_state_machine_versions()
            .state_machine_arn(&machine)
    };
    check_pages!(
        "ListStateMachineVersions",
        versions,
        state_machine_versions,
        2
    );
    let aliases = || sfn.list_state_machine_aliases().state_machine_arn(&machine);
    check_pages!("ListStateMachineAliases", aliases, state_machine_aliases, 2);
    let activities = || sfn.list_activities();
    check_pages!("ListActivities", activities, activities, 2);

    // A token of one listing is none of another.
    let first = machines().max_results(1).send().await.unwrap();
    let token = first.next_token().unwrap();
    let foreign = sfn.list_activities().max_results(1).next_token(token);
    assert_eq!(refusal(foreign.send().await).0, "InvalidToken");
    house.advance_seconds(86_399);
    let late = machines().max_results(1).next_token(token);
    late.send().await.unwrap();
    house.advance_seconds(1);
    let expired = machines().max_results(1).next_token(token);
    assert_eq!(refusal(expired.send().await).0, "InvalidToken");
}
