//! The end of a round: when it is due, the result files, and what the parent is told.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::{Closing, Driver};
use crate::engine::machine::{Failure, Input};
use crate::engine::map_run::handle::Message;
use crate::engine::map_run::log::Record;
use crate::engine::map_run::{Closed, ClosedStatus, results};

impl Driver {
    pub(super) fn close_when_due(&mut self) {
        let may_close = self.closing.is_none() && self.waiting.is_none();
        if may_close && self.handle.table().closed.is_none() {
            let (exceeded, complete) = {
                let table = self.handle.table();
                (table.exceeds_tolerance(), table.is_complete())
            };
            if exceeded {
                let failure = Failure::new(
                    "States.ExceedToleratedFailureThreshold",
                    "The specified tolerated failure threshold was exceeded",
                );
                self.closing = Some(Closing {
                    status: ClosedStatus::Failed,
                    failure: Some(failure),
                });
                self.abort_children();
            } else if complete && self.is_idle() {
                self.closing = Some(Closing {
                    status: ClosedStatus::Succeeded,
                    failure: None,
                });
            }
        }
        self.flush();
        let is_due = self.closing.is_some()
            && self.writing.is_none()
            && self.items.is_none()
            && self.is_idle();
        if is_due && self.handle.table().closed.is_none() {
            self.start_writing();
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        let is_replaying = self.replay.is_some() || !self.to_continue.is_empty();
        self.running.is_empty() && !is_replaying && self.buffer.is_empty() && self.commit.is_none()
    }

    pub(super) fn start_writing(&mut self) {
        let (sender, receiver) = oneshot::channel();
        let handle = Arc::clone(&self.handle);
        let objects = self.runner.objects().clone();
        let quotas = self.runner.quotas();
        tokio::task::spawn_blocking(move || {
            let written = match &handle.row.plan.writer {
                Some(destination) => {
                    results::write(&handle, &objects, destination, &quotas).map_err(Failure::from)
                }
                None => Ok(results::Written {
                    succeeded: Vec::new(),
                    manifest: String::new(),
                }),
            };
            // The driver is gone only when the engine stops.
            let _ = sender.send(written);
        });
        self.writing = Some(receiver);
    }

    pub(super) fn written(&mut self, result: Result<results::Written, Failure>) {
        self.writing = None;
        // It stays closing until the end is on disk, so that nothing new is started meanwhile.
        let Some(closing) = self.closing.clone() else {
            return;
        };
        let (written, writer_failure) = match result {
            Ok(written) => (Some(written), None),
            Err(failure) => (None, Some(failure)),
        };
        let (status, result) = match (closing.status, closing.failure.or(writer_failure)) {
            (ClosedStatus::Succeeded, None) => {
                let manifest = written.as_ref().map(|written| written.manifest.as_str());
                match self.output(manifest.unwrap_or_default()) {
                    Ok(output) => (ClosedStatus::Succeeded, Ok(output)),
                    Err(failure) => (ClosedStatus::Failed, Err(failure)),
                }
            }
            (ClosedStatus::Aborted, failure) => (
                ClosedStatus::Aborted,
                Err(failure.unwrap_or(Failure {
                    error: None,
                    cause: None,
                })),
            ),
            (_, failure) => (
                ClosedStatus::Failed,
                Err(failure.unwrap_or(Failure {
                    error: None,
                    cause: None,
                })),
            ),
        };
        if let Some(written) = written {
            self.push(&Record::Written {
                succeeded: written.succeeded,
            });
        }
        let at = self.runner.now();
        self.push(&Record::Closed(Closed { at, status, result }));
    }

    /// What the Map state gives: where the results are, or the results themselves.
    pub(super) fn output(&self, manifest: &str) -> Result<Value, Failure> {
        if let Some(destination) = &self.handle.row.plan.writer {
            return Ok(json!({
                "MapRunArn": self.handle.row.plan.arn,
                "ResultWriterDetails": {"Bucket": destination.bucket, "Key": manifest},
            }));
        }
        results::collect(&self.handle)
    }

    pub(super) fn is_finished(&self) -> bool {
        self.handle.table().closed.is_some()
            && self.is_idle()
            && self.writing.is_none()
            && self.nested.is_idle()
    }

    /// Tells the parent, unless it has asked for another round meanwhile. Whether the driver ends.
    pub(super) async fn finish(&mut self) -> bool {
        while let Ok(message) = self.inbox.try_recv() {
            self.message(message);
        }
        self.closing = None;
        if self.round > self.handle.table().round {
            self.resume();
            return false;
        }
        let (closed, round) = {
            let table = self.handle.table();
            (table.closed.clone(), table.round)
        };
        let Some(closed) = closed else { return true };
        self.runner.map_run_closed(&self.handle).await;
        let ended = Input::MapRunEnded {
            arn: self.handle.row.plan.arn.clone(),
            redrives: round,
            result: closed.result,
        };
        self.runner.map_run_ended(&self.handle.row, ended).await;
        // Closing the inbox under its lock: whoever comes later starts a new driver, and whoever
        // came before is read here.
        self.inbox.close();
        let mut late = Vec::new();
        while let Some(message) = self.inbox.recv().await {
            if matches!(message, Message::Follow { .. } | Message::Stop) {
                late.push(message);
            }
        }
        let handle = Arc::clone(&self.handle);
        let runner = self.runner.clone();
        self.runner.track(async move {
            for message in late {
                handle.tell_or_start(&runner, message).await;
            }
        });
        true
    }
}
