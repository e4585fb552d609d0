//! Mistakes planted in the engine: a simulator that finds nothing proves nothing. Only with the feature `planted`.

/// A mistake of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    ForgetAcknowledgement,
    SkipGiveBack,
    CountUnstarted,
    DeliverCancelled,
    ResendWithoutSequence,
    IgnoreWaiting,
    LetGoEarly,
    SkipIntent,
    ForgetUnknown,
    ShutdownTwiceNamed,
    DoubleStart,
    RetireBusy,
    ForgetStarting,
    DropAdopted,
}

pub const BUGS: [(&str, Bug); 14] = [
    ("forget-acknowledgement", Bug::ForgetAcknowledgement),
    ("skip-give-back", Bug::SkipGiveBack),
    ("count-unstarted", Bug::CountUnstarted),
    ("deliver-cancelled", Bug::DeliverCancelled),
    ("resend-without-sequence", Bug::ResendWithoutSequence),
    ("ignore-waiting", Bug::IgnoreWaiting),
    ("let-go-early", Bug::LetGoEarly),
    ("skip-intent", Bug::SkipIntent),
    ("forget-unknown", Bug::ForgetUnknown),
    ("shutdown-twice-named", Bug::ShutdownTwiceNamed),
    ("double-start", Bug::DoubleStart),
    ("retire-busy", Bug::RetireBusy),
    ("forget-starting", Bug::ForgetStarting),
    ("drop-adopted", Bug::DropAdopted),
];

impl Bug {
    pub fn named(name: &str) -> Option<Bug> {
        BUGS.iter()
            .find(|(known, _)| *known == name)
            .map(|(_, bug)| *bug)
    }

    /// As the links of the world have it.
    #[cfg(feature = "planted")]
    pub fn of_links(bug: Option<Bug>) -> scaler_engine::link::Bugs {
        scaler_engine::link::Bugs {
            forget_acknowledgement: bug == Some(Bug::ForgetAcknowledgement),
            resend_without_sequence: bug == Some(Bug::ResendWithoutSequence),
        }
    }

    /// As managers have it.
    #[cfg(feature = "planted")]
    pub fn of_managers(bug: Option<Bug>) -> scaler_engine::manager::Bugs {
        scaler_engine::manager::Bugs {
            skip_intent: bug == Some(Bug::SkipIntent),
            forget_unknown: bug == Some(Bug::ForgetUnknown),
            shutdown_twice_named: bug == Some(Bug::ShutdownTwiceNamed),
            double_start: bug == Some(Bug::DoubleStart),
        }
    }

    /// As the scheduler has it.
    #[cfg(feature = "planted")]
    pub fn of_scheduler(bug: Option<Bug>) -> scaler_engine::scheduler::Bugs {
        scaler_engine::scheduler::Bugs {
            skip_give_back: bug == Some(Bug::SkipGiveBack),
            count_unstarted_attempt: bug == Some(Bug::CountUnstarted),
            deliver_cancelled: bug == Some(Bug::DeliverCancelled),
            ignore_waiting: bug == Some(Bug::IgnoreWaiting),
            let_go_early: bug == Some(Bug::LetGoEarly),
            retire_busy: bug == Some(Bug::RetireBusy),
            forget_starting: bug == Some(Bug::ForgetStarting),
            drop_adopted: bug == Some(Bug::DropAdopted),
        }
    }
}
