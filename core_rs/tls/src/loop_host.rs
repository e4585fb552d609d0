//! A loop that takes a listener's peers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use scaler_loops::shared::{Listening, Order, Request, Shared};

use crate::listener::Host;

#[derive(Clone)]
pub struct LoopHost {
    shared: Arc<Shared>,
    part: Listening,
}

impl LoopHost {
    pub fn new(shared: Arc<Shared>, part: Listening) -> LoopHost {
        LoopHost { shared, part }
    }
}

impl Host for LoopHost {
    fn adopt(&self, socket: OwnedFd, host: String) {
        let order = Order::Adopt {
            part: self.part,
            socket,
            address: host,
        };
        // A loop that has ended takes nobody.
        let _ = self.shared.tell(order);
    }

    fn warn(&self, text: String) {
        let level = "warning";
        self.shared.ask(Request::Log { level, text });
    }
}
