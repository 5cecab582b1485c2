//! The tree of frames: deliveries down to the frame that waits, results up through Parallel and
//! inline Map states, aborts, redrives, and what is owed after a restart.

use std::sync::Arc;

use serde_json::{Value, json};

use super::states::Result;
use super::{
    Branch, Command, Execution, Failure, Flow, Frame, Input, Item, Phase, Stepper, failure_details,
};
use crate::engine::definition::{Kind, MapState, Scope, State};

impl Stepper<'_> {
    /// Gives a delivery to the frame that waits for it, which takes what it brings. `None`: nobody
    /// does.
    pub(super) fn deliver(
        &mut self,
        scope: &Scope,
        frame: &mut Frame,
        delivery: &mut Input,
    ) -> Option<Flow> {
        if frame.halted {
            return None;
        }
        let state = scope.states.get(&frame.state)?;
        let result = match (&frame.phase, &mut *delivery) {
            (Phase::Task(attempt), delivery) if delivery.token() == Some(attempt.number) => {
                self.attempt_delivered(state, frame, delivery)?
            }
            (Phase::Wait { token, .. }, Input::TimerFired { token: fired }) if *token == *fired => {
                self.effective_input(state, frame)
                    .map_or_else(Result::Failed, Result::Done)
            }
            (Phase::Retry { token, .. }, Input::TimerFired { token: fired })
                if *token == *fired =>
            {
                self.begin(state, frame)
            }
            (
                Phase::MapRun { arn, redrives, .. },
                Input::MapRunEnded {
                    arn: ended,
                    redrives: round,
                    result,
                },
            ) if arn == ended && redrives == round => {
                let result = std::mem::replace(result, Ok(Value::Null));
                self.map_run_ended(frame, result)
            }
            (Phase::Parallel { .. } | Phase::Map { .. }, delivery) => {
                self.deliver_to_branches(state, frame, delivery)?
            }
            _ => return None,
        };
        Some(self.settle(scope, frame, result))
    }

    fn map_run_ended(
        &mut self,
        frame: &mut Frame,
        result: std::result::Result<Value, Failure>,
    ) -> Result {
        match result {
            Ok(value) => {
                self.follow(frame, "MapRunSucceeded", || Value::Null);
                self.follow(frame, "MapStateSucceeded", || Value::Null);
                Result::Done(Arc::new(value))
            }
            Err(failure) => {
                self.follow(frame, "MapRunFailed", || failure_details(&failure));
                Result::Broken(failure)
            }
        }
    }

    fn deliver_to_branches(
        &mut self,
        state: &State,
        frame: &mut Frame,
        delivery: &mut Input,
    ) -> Option<Result> {
        let answer = self.inside(frame, |stepper, frame| {
            branches_of(&mut frame.phase)
                .iter_mut()
                .enumerate()
                .find_map(|(index, branch)| {
                    let Branch::Running(inner) = branch else {
                        return None;
                    };
                    let flow = stepper.deliver(branch_scope(state, index)?, inner, delivery)?;
                    Some((index, flow))
                })
        });
        let (index, flow) = answer?;
        Some(
            match (&state.kind, self.branch_settled(state, frame, index, flow)) {
                (_, Some(failed)) => failed,
                (Kind::Map(map), None) => self.pump_map(state, map, frame),
                (_, None) => self.join_parallel(frame),
            },
        )
    }

    /// Files a branch's new standing. `Some` when the whole state has failed by it.
    fn branch_settled(
        &mut self,
        state: &State,
        frame: &mut Frame,
        index: usize,
        flow: Flow,
    ) -> Option<Result> {
        let name = frame.state.clone();
        let is_map = matches!(state.kind, Kind::Map(_));
        let branch = branches_of(&mut frame.phase).get_mut(index)?;
        match flow {
            Flow::Waiting => None,
            Flow::Succeeded(output) => {
                let Branch::Running(inner) =
                    std::mem::replace(branch, Branch::Succeeded(Arc::unwrap_or_clone(output)))
                else {
                    return None;
                };
                frame.last_event = inner.last_event;
                if let Phase::Map { last_inside, .. } = &mut frame.phase {
                    *last_inside = Some(inner.last_event);
                }
                if is_map {
                    self.follow(
                        frame,
                        "MapIterationSucceeded",
                        || json!({"name": name, "index": index}),
                    );
                }
                None
            }
            Flow::Failed(failure) => {
                let Branch::Running(inner) = std::mem::replace(branch, Branch::Waiting) else {
                    return None;
                };
                let last = inner.last_event;
                let scope = branch_scope(state, index);
                let failed = scope.and_then(|scope| scope.states.get(&inner.state));
                let is_task = failed.is_some_and(|failed| matches!(failed.kind, Kind::Task(_)));
                *branch = Branch::Failed(inner);
                if is_map {
                    self.event(
                        "MapIterationFailed",
                        last,
                        || json!({"name": name, "index": index}),
                    );
                }
                // The Task that failed has not been exited: it is told to be aborted like its
                // siblings, and all of these events follow the failure (recorded histories).
                if is_task {
                    self.event("TaskStateAborted", last, || Value::Null);
                }
                self.abort_branches(state, frame, Some(last));
                frame.last_event = last;
                Some(Result::Broken(failure))
            }
        }
    }

    pub(super) fn begin_parallel(
        &mut self,
        scopes: &[Arc<Scope>],
        state: &State,
        frame: &mut Frame,
        input: &Arc<Value>,
    ) -> std::result::Result<Result, Failure> {
        let input = match &state.parameters {
            Some(template) => Arc::new(self.evaluate(template, frame, input)?),
            None => Arc::clone(input),
        };
        let started = self.follow(frame, "ParallelStateStarted", || Value::Null);
        let branches = scopes.iter().map(|scope| {
            Branch::Running(Box::new(Frame {
                state: scope.start_at.clone(),
                input: Arc::clone(&input),
                last_event: started,
                item: frame.item.clone(),
                ..Frame::default()
            }))
        });
        frame.phase = Phase::Parallel {
            branches: branches.collect(),
        };
        // All are entered before one's failure ends the others.
        let flows: Vec<Flow> = scopes
            .iter()
            .enumerate()
            .filter_map(|(index, scope)| {
                self.work_on_branch(frame, index, |stepper, inner| stepper.run(scope, inner))
            })
            .collect();
        Ok(self
            .settle_branches(state, frame, flows.into_iter().enumerate())
            .unwrap_or_else(|| self.join_parallel(frame)))
    }

    /// Works on a branch that is running.
    fn work_on_branch(
        &mut self,
        frame: &mut Frame,
        index: usize,
        work: impl FnOnce(&mut Self, &mut Frame) -> Flow,
    ) -> Option<Flow> {
        self.inside(frame, |stepper, frame| {
            match branches_of(&mut frame.phase).get_mut(index) {
                Some(Branch::Running(inner)) => Some(work(stepper, inner)),
                _ => None,
            }
        })
    }

    /// Files the new standing of branches. `Some` when the whole state has failed by one.
    fn settle_branches(
        &mut self,
        state: &State,
        frame: &mut Frame,
        flows: impl IntoIterator<Item = (usize, Flow)>,
    ) -> Option<Result> {
        flows
            .into_iter()
            .find_map(|(index, flow)| self.branch_settled(state, frame, index, flow))
    }

    fn join_parallel(&mut self, frame: &mut Frame) -> Result {
        let Some(outputs) = outputs(branches_of(&mut frame.phase)) else {
            return Result::Waiting;
        };
        // The Exited event follows what this one follows (recorded histories).
        self.event("ParallelStateSucceeded", frame.last_event, || Value::Null);
        Result::Done(Arc::new(outputs))
    }

    /// Starts iterations while the limit allows; joins when all have succeeded.
    pub(super) fn pump_map(&mut self, state: &State, map: &MapState, frame: &mut Frame) -> Result {
        let mut next = 0;
        loop {
            let Phase::Map {
                items,
                branches,
                limit,
                started_event,
                last_inside,
            } = &frame.phase
            else {
                return Result::Waiting;
            };
            let is_waiting = |branch: &Branch| matches!(branch, Branch::Waiting);
            // Those before were seen to be under way.
            next += branches[next..]
                .iter()
                .position(is_waiting)
                .unwrap_or(branches.len() - next);
            if next == branches.len() {
                return self.join_map(frame);
            }
            let is_running = |branch: &&Branch| matches!(branch, Branch::Running(_));
            if branches[..next]
                .iter()
                .filter(is_running)
                .take(*limit)
                .count()
                == *limit
            {
                return Result::Waiting;
            }
            let item = Item {
                index: next,
                value: items[next].clone(),
            };
            // One at a time, an iteration follows the last event inside the one before it
            // (recorded histories).
            let previous = match last_inside {
                Some(last) if *limit == 1 => *last,
                _ => *started_event,
            };
            if let Some(failed) = self.start_iteration(state, map, frame, item, previous) {
                return failed;
            }
        }
    }

    fn join_map(&mut self, frame: &mut Frame) -> Result {
        let Some(outputs) = outputs(branches_of(&mut frame.phase)) else {
            return Result::Waiting;
        };
        // The Exited event follows what this one follows (recorded histories).
        self.event("MapStateSucceeded", frame.last_event, || Value::Null);
        Result::Done(Arc::new(outputs))
    }

    fn start_iteration(
        &mut self,
        state: &State,
        map: &MapState,
        frame: &mut Frame,
        item: Item,
        previous: u64,
    ) -> Option<Result> {
        let index = item.index;
        let name = frame.state.clone();
        let started = self.event(
            "MapIterationStarted",
            previous,
            || json!({"name": name, "index": index}),
        );
        let selected = self
            .effective_input(state, frame)
            .and_then(|input| self.select_item(map, frame, &input, (index, &item.value)));
        let input = match selected {
            Ok(input) => input,
            Err(failure) => return Some(Result::Failed(failure)),
        };
        let mut inner = Box::new(Frame {
            state: map.processor.start_at.clone(),
            input: Arc::new(input),
            last_event: started,
            item: Some(item),
            ..Frame::default()
        });
        let flow = self.inside(frame, |stepper, _| stepper.run(&map.processor, &mut inner));
        if let Some(place) = branches_of(&mut frame.phase).get_mut(index) {
            *place = Branch::Running(inner);
        }
        self.branch_settled(state, frame, index, flow)
    }

    fn abort_branches(&mut self, state: &State, frame: &mut Frame, by: Option<u64>) {
        let name = frame.state.clone();
        for (index, branch) in branches_of(&mut frame.phase).iter_mut().enumerate() {
            let (Branch::Running(inner), Some(scope)) = (&mut *branch, branch_scope(state, index))
            else {
                continue;
            };
            let mut inner = std::mem::take(inner);
            if let (Kind::Map(_), Some(by)) = (&state.kind, by) {
                self.event(
                    "MapIterationAborted",
                    by,
                    || json!({"name": name, "index": index}),
                );
            }
            self.abort(scope, &mut inner, by);
            *branch = Branch::Failed(inner);
        }
    }

    /// Ends whatever the frame waits for; its states stay where they are for a redrive.
    ///
    /// `by` is the failure in a sibling that the events follow. Where the execution itself is
    /// stopped or times out there is none, and no state but a Map Run tells of it (recorded
    /// histories).
    pub(super) fn abort(&mut self, scope: &Scope, frame: &mut Frame, by: Option<u64>) {
        frame.halted = true;
        let Some(state) = scope.states.get(&frame.state) else {
            return;
        };
        if let Phase::MapRun { arn, .. } = &frame.phase {
            self.step
                .commands
                .push(Command::StopMapRun { arn: arn.clone() });
            self.follow(frame, "MapRunAborted", || Value::Null);
            self.follow(frame, "MapStateAborted", || Value::Null);
            return;
        }
        self.give_up(frame);
        self.abort_branches(state, frame, by);
        let (Some(by), Kind::Task(_) | Kind::Wait(_) | Kind::Parallel { .. } | Kind::Map(_)) =
            (by, &state.kind)
        else {
            return;
        };
        let kind = state.kind.name();
        frame.last_event = self.event(format!("{kind}StateAborted"), by, || Value::Null);
    }

    /// Resumes every unsuccessful state below (developer guide, "Redriving executions").
    pub(super) fn redrive(&mut self, scope: &Scope, frame: &mut Frame) -> Flow {
        let Some(state) = scope.states.get(&frame.state) else {
            return Flow::Failed(Failure::new("States.Runtime", "the state does not exist"));
        };
        frame.halted = false;
        let all_of_it = std::mem::take(&mut frame.rerun);
        frame.retries = vec![0; state.retry.len()];
        let was_entered = frame.entered_event > 0;
        if !was_entered || matches!(state.kind, Kind::Fail { .. }) {
            return self.run(scope, frame);
        }
        let result = match &mut frame.phase {
            Phase::MapRun {
                arn,
                redrives,
                started_event,
                ..
            } if !all_of_it => {
                *redrives += 1;
                let (arn, redrives, started) = (arn.clone(), *redrives, *started_event);
                frame.last_event = self.event(
                    "MapRunRedriven",
                    started,
                    || json!({"mapRunArn": arn, "redriveCount": redrives}),
                );
                self.step
                    .commands
                    .push(Command::FollowMapRun { arn, redrives });
                Result::Waiting
            }
            Phase::Parallel { .. } | Phase::Map { .. } if !all_of_it => {
                self.redrive_branches(state, frame)
            }
            _ => {
                frame.last_event = frame.entered_event;
                self.begin(state, frame)
            }
        };
        self.settle(scope, frame, result)
    }

    fn redrive_branches(&mut self, state: &State, frame: &mut Frame) -> Result {
        let mut flows = Vec::new();
        for index in 0..branches_of(&mut frame.phase).len() {
            let Some(place @ Branch::Failed(_)) = branches_of(&mut frame.phase).get_mut(index)
            else {
                continue;
            };
            if let Branch::Failed(inner) = std::mem::replace(place, Branch::Waiting) {
                *place = Branch::Running(inner);
            }
            let Some(scope) = branch_scope(state, index) else {
                continue;
            };
            let flow =
                self.work_on_branch(frame, index, |stepper, inner| stepper.redrive(scope, inner));
            flows.extend(flow.map(|flow| (index, flow)));
        }
        if let Some(failed) = self.settle_branches(state, frame, flows) {
            return failed;
        }
        match &state.kind {
            Kind::Map(map) => self.pump_map(state, map, frame),
            _ => self.join_parallel(frame),
        }
    }

    /// Collects the commands that the frame and those below it wait for.
    pub(super) fn owe(&mut self, scope: &Scope, frame: &Frame) {
        let Some(state) = scope.states.get(&frame.state) else {
            return;
        };
        if frame.halted {
            return;
        }
        match &frame.phase {
            Phase::Ready => {}
            Phase::Task(_) => {
                if let Kind::Task(task) = &state.kind {
                    self.owe_attempt(task, state, frame);
                }
            }
            Phase::Wait { token, until } | Phase::Retry { token, until } => {
                self.step.commands.push(Command::Timer {
                    token: *token,
                    at: *until,
                });
            }
            Phase::MapRun { arn, redrives, .. } => {
                self.step.commands.push(Command::FollowMapRun {
                    arn: arn.clone(),
                    redrives: *redrives,
                });
            }
            Phase::Parallel { branches } | Phase::Map { branches, .. } => {
                self.outer.push(frame.variables.clone());
                for (index, branch) in branches.iter().enumerate() {
                    if let (Branch::Running(inner), Some(scope)) =
                        (branch, branch_scope(state, index))
                    {
                        self.owe(scope, inner);
                    }
                }
                self.outer.pop();
            }
        }
    }
}

/// Whether a Task's attempt is under way and waits for its end.
pub fn awaits(execution: &Execution, attempt: u64) -> bool {
    fn waits(frame: &Frame, attempt: u64) -> bool {
        if frame.halted {
            return false;
        }
        match &frame.phase {
            Phase::Task(under_way) => under_way.number == attempt,
            Phase::Parallel { branches } | Phase::Map { branches, .. } => {
                branches.iter().any(|branch| match branch {
                    Branch::Running(inner) => waits(inner, attempt),
                    _ => false,
                })
            }
            _ => false,
        }
    }
    waits(&execution.root, attempt)
}

fn branches_of(phase: &mut Phase) -> &mut [Branch] {
    match phase {
        Phase::Parallel { branches } | Phase::Map { branches, .. } => branches,
        _ => &mut [],
    }
}

/// The scope that branch `index` of this state runs in.
fn branch_scope(state: &State, index: usize) -> Option<&Scope> {
    match &state.kind {
        Kind::Parallel { branches } => branches.get(index).map(Arc::as_ref),
        Kind::Map(map) => Some(&map.processor),
        _ => None,
    }
}

/// The outputs, once every branch has succeeded.
fn outputs(branches: &[Branch]) -> Option<Value> {
    let output = |branch: &Branch| match branch {
        Branch::Succeeded(output) => Some(output.clone()),
        _ => None,
    };
    let is_done = |branch: &Branch| matches!(branch, Branch::Succeeded(_));
    // Asked after every iteration: outputs are copied only once all are there.
    branches
        .iter()
        .all(is_done)
        .then(|| branches.iter().filter_map(output).collect())
}
