//! What always holds.

use std::collections::BTreeMap;

use crate::wire::Payload;

use super::calls::Purpose;
use super::config::CallId;
use super::group::{Phase, Wish};
use super::groups::Number;
use super::Manager;

impl<P: Payload> Manager<P> {
    /// Panics where the manager's books contradict each other.
    pub fn sanity_check(&self) {
        self.groups.sanity_check();
        let mut starting: BTreeMap<Number, CallId> = BTreeMap::new();
        let mut ending: BTreeMap<Number, CallId> = BTreeMap::new();
        let mut looks = 0;
        for (id, call) in &self.calls {
            let under_way = match &call.purpose {
                Purpose::Start(_) => &mut starting,
                Purpose::Shutdown(_) => &mut ending,
                Purpose::Heartbeat => {
                    looks += 1;
                    continue;
                }
                Purpose::Cleanup => continue,
            };
            for number in call.purpose.groups() {
                let other = under_way.insert(*number, *id);
                assert!(other.is_none(), "two calls for group {number}");
            }
        }
        assert!(looks <= 1, "two heartbeats at a time");
        for (number, group) in self.groups.iter() {
            let (starts, ends) = match group.phase {
                Phase::Starting { call } => (Some(call), None),
                Phase::Ending { call } => (None, Some(call)),
                _ => (None, None),
            };
            assert_eq!(starting.get(&number).copied(), starts, "{group:?}");
            assert_eq!(ending.get(&number).copied(), ends, "{group:?}");
            let over = matches!(
                group.phase,
                Phase::Doomed { .. } | Phase::Ending { .. } | Phase::Told
            );
            let starting = matches!(group.phase, Phase::Starting { .. });
            assert!(over == (group.wish == Wish::Over) || starting, "{group:?}");
            let uncalled = matches!(group.phase, Phase::Recording | Phase::Waiting { .. });
            assert!(group.called || uncalled, "{group:?}");
        }
        let waits = |number: &Number| self.records.iter().any(|(_, it)| it.contains(number));
        if self.groups.len() <= 100 && !self.over {
            for (number, group) in self.groups.iter() {
                let unwritten = group.phase == Phase::Recording;
                assert!(
                    !unwritten || waits(&number),
                    "{group:?} waits for no record"
                );
            }
        }
    }
}
