//! The engine beside the rules of AWS Step Functions, each case asked through the AWS SDK. A case
//! is named for its rule, and its comment names the page of the AWS documentation that has it.
//!
//! | subject | cases |
//! |---|---|
//! | order, numbers and links of events | [`map_runs`], [`stop`], [`redrive`], [`items`] |
//! | counts, what holds of them at all times | [`map_runs`], `wired::Counts` |
//! | thresholds, UpdateMapRun | [`map_runs`], [`control`] |
//! | redrive of executions, Map Runs, nested ones | [`redrive`], [`map_runs`], [`nested`] |
//! | what cannot be redriven, quotas, DELETING | [`redrive`], [`limits`], [`map_runs`] |
//! | ResultWriter | [`results`]; full files: `wire::maps`; the test before: [`map_runs`] |
//! | ItemReader | [`items`]; listings, inventories, compressed objects: `wire::maps` |
//! | ItemSelector, ItemBatcher, context of children | [`items`]; in JSONata: `wire::maps` |
//! | StartExecution: names, inputs, idempotence, trace header | [`starts`] |
//! | pages and their tokens | [`pages`]; while rows come: `machines` |
//! | throttling, lag, faults | [`services`], `switches` |
//! | history in CloudWatch Logs, by level | `logs` |
//! | Lambda's own lines | [`services`] |
//! | S3 | [`services`]; objects, uploads, checksums, listings: the engine's `api::tests` |
//! | CloudWatch Logs, Live Tail | `logs` |
//! | definitions, ValidateStateMachineDefinition | [`validation`], `machines` |
//! | state machines, versions, aliases, tags | `machines`; variable references: [`machines`](self::machines) |
//! | Express: children, five minutes, at least once | [`map_runs`], [`limits`]; by itself: `machines` |
//! | task tokens | [`tokens`], `tasks`; activities: `tasks` |
//! | nested executions | [`nested`], `tasks` |
//! | TestState | [`machines`](self::machines), `test_state` |
//! | kills | [`stop`], [`limits`], `crash` |
//! | boto3, the `aws` command | [`python`] |

mod control;
mod items;
mod limits;
mod machines;
mod map_runs;
mod nested;
mod pages;
mod python;
mod redrive;
mod results;
mod services;
mod starts;
mod stop;
mod tokens;
mod validation;
