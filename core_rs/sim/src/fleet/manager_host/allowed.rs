//! What a manager may call, and when it may start itself anew.

use scaler_engine::manager::{Call, EntryState};

use super::{ManagerHost, Waiting};
use crate::context::Context;

impl ManagerHost {
    pub(super) fn check_call(&self, context: &Context, call: &Call) -> Result<(), String> {
        let shape = &context.profile.fleet.managers[self.index];
        // At the end nobody waits for what hangs.
        let given_up =
            |waiting: &Waiting| self.ends_all && context.now() >= waiting.since + shape.deadline;
        let of_work =
            |waiting: &&Waiting| !matches!(waiting.call, Call::Heartbeat) && !given_up(waiting);
        let calls = self.calls.values().filter(of_work).count();
        if !matches!(call, Call::Heartbeat) && calls >= shape.calls as usize {
            return Err(format!("calls {call:?}, and is in {calls} calls"));
        }
        match call {
            Call::Start(requests) => {
                if requests.is_empty() || requests.len() > shape.batch as usize {
                    return Err(format!("starts {} groups in one call", requests.len()));
                }
                if context.now() < self.quiet_until {
                    let until = self.quiet_until;
                    return Err(format!(
                        "starts {requests:?}, and was asked to be quiet until {until}"
                    ));
                }
                let groups = requests.iter().map(|request| request.group.as_str());
                groups
                    .into_iter()
                    .try_for_each(|group| self.check_start(context, group))
            }
            Call::Shutdown(groups) => groups
                .iter()
                .try_for_each(|group| self.check_shutdown(context, group)),
            Call::Heartbeat | Call::Cleanup => Ok(()),
        }
    }

    fn check_start(&self, context: &Context, group: &str) -> Result<(), String> {
        if !context.groups.is_named(self.index, group) {
            return Err(format!("starts {group}, which nobody named"));
        }
        if self.ends_all {
            return Err(format!("starts {group}, and ends all that it has"));
        }
        if self.told_to_end.contains(group) {
            return Err(format!("starts {group}, which it was told to end"));
        }
        let entry = self.ledger.entry(group);
        let intends = [EntryState::Intended, EntryState::Started];
        if !entry.is_some_and(|entry| intends.contains(&entry.state)) {
            return Err(format!("starts {group}, and the ledger has {entry:?}"));
        }
        let starts = |waiting: &Waiting| match &waiting.call {
            Call::Start(requests) => requests.iter().any(|request| request.group == group),
            _ => false,
        };
        if self.calls.values().any(starts) {
            return Err(format!("starts {group} in two calls at once"));
        }
        Ok(())
    }

    fn check_shutdown(&self, context: &Context, group: &str) -> Result<(), String> {
        if group.starts_with("other-") {
            return Err(format!("ends {group}, which is not its own"));
        }
        if self.ends_all || self.told_to_end.contains(group) {
            return Ok(());
        }
        let ended = context.groups.is_ended(group);
        Err(format!(
            "ends {group}, which it was not told to (some scheduler did: {ended})"
        ))
    }

    /// Only for a hook that hangs.
    pub(super) fn check_restart(&self, context: &mut Context) {
        let deadline = context.profile.fleet.managers[self.index].deadline;
        let oldest = self.calls.values().map(|waiting| waiting.since).min();
        if oldest.is_none_or(|since| context.now() < since + 2 * deadline) {
            context.broken(format!(
                "{} starts itself anew, and no call hangs",
                self.part()
            ));
        }
    }
}
