//! Taking back what waits behind other work while slots are idle.
//!
//! An idle node asks nobody; the scheduler asks the node with most elements that have not started, one request at a
//! time a node, and places what is given back like anything else. A node from which nothing was gained is asked again
//! later, each time later, until it gets on.

use crate::wire::{Message, Payload};

use super::arrays::NodeIndex;
use super::nodes::SignatureIndex;
use super::Scheduler;

/// Waiting work worth less than this, a slot, is done sooner than moved; microseconds. A node from which nothing was
/// heard for this long may be stuck in one long element.
const WORTH_US: u64 = 1_000;
/// The same where the idle slot would run it as a job, which takes seconds to begin.
const WORTH_A_JOB_US: u64 = 10_000_000;
/// Idle nodes served a turn and signature, nodes and arrays looked at for each.
pub(super) const LOOKS: usize = 16;
const ARRAYS: usize = 64;

impl<P: Payload> Scheduler<P> {
    pub(super) fn steal(&mut self) {
        self.steal_at = None;
        let idle: Vec<SignatureIndex> = self.nodes.idle.iter().copied().collect();
        for signature in idle {
            let free: Vec<u32> = self
                .nodes
                .signature(signature)
                .idle()
                .take(LOOKS)
                .map(|node| self.nodes.get(node).free())
                .collect();
            for free in free {
                if !self.take_back_for(signature, free) {
                    break;
                }
            }
        }
        self.free_the_stuck();
    }

    /// Asks one node for elements that `free` slots of a signature could run. Whether there was one.
    fn take_back_for(&mut self, thief: SignatureIndex, free: u32) -> bool {
        let candidates: Vec<NodeIndex> = self
            .nodes
            .signatures()
            .flat_map(|(_, signature)| signature.most_laden().take(LOOKS))
            .collect();
        let worth = match self.nodes.signature(thief).offload {
            true => WORTH_A_JOB_US,
            false => WORTH_US,
        };
        let mut best: Option<(u32, NodeIndex)> = None;
        for index in candidates {
            let unstarted = self.nodes.get(index).unstarted();
            if best.is_some_and(|(most, _)| most >= unstarted) || !self.runs_for(index, thief) {
                continue;
            }
            if self.worth_asking(index, worth) {
                best = Some((unstarted, index));
            }
        }
        let Some((unstarted, index)) = best else {
            return false;
        };
        let node = self.nodes.get_mut(index);
        let share = u64::from(unstarted) * u64::from(free);
        let count = share
            .div_ceil(u64::from(free) + u64::from(node.slots))
            .max(1) as u32;
        node.reclaiming = true;
        let link = node.link;
        self.nodes.refresh(index);
        self.send(link, Message::Reclaim { count });
        true
    }

    /// Whether a node has elements that nodes of the signature could run.
    fn runs_for(&self, index: NodeIndex, thief: SignatureIndex) -> bool {
        let signature = self.nodes.signature(thief);
        let book = self.nodes.get(index).book.iter().rev();
        // Of a done array the class may be gone already.
        let arrays = book.filter(|(_, here)| here.count > 0).take(ARRAYS);
        let mut classes: Vec<u32> = arrays.map(|(&array, _)| self.arrays[array].class).collect();
        classes.dedup();
        classes.into_iter().any(|class| {
            let class = self.classes.get(class);
            signature.satisfies(&class.capabilities, class.python_minor)
        })
    }

    /// Whether now; if later, that is noted.
    fn worth_asking(&mut self, index: NodeIndex, worth: u64) -> bool {
        let node = self.nodes.get(index);
        let waiting = node.load_us / u64::from(node.slots.max(1));
        let stuck_at = match waiting > worth {
            true => 0,
            false => node.progress_at + worth,
        };
        let at = stuck_at.max(node.reclaim_after);
        if at <= self.now {
            return true;
        }
        self.steal_at = Some(self.steal_at.map_or(at, |before| before.min(at)));
        false
    }
}
