//! What happened, to be read by people, and as one number to compare two runs by.

use scaler_engine::wire::{Graph, Message, Range, Sequence, SessionId};

use crate::data::Data;
use crate::network::Part;
use crate::queue::Time;
use crate::random::mix;

/// Whom a line concerns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum About {
    /// Every element: crashes, pauses, cuts.
    All,
    Part,
    Elements(Vec<Range>),
}

#[derive(Clone, Debug)]
pub struct Line {
    pub at: Time,
    pub part: Part,
    pub about: About,
    pub text: String,
}

impl std::fmt::Display for Line {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.at as f64 / 1e6;
        write!(
            formatter,
            "{seconds:>12.6} {:<10} {}",
            self.part.to_string(),
            self.text
        )
    }
}

/// The lines are kept only where `told`; the number always.
#[derive(Debug, Default)]
pub struct Story {
    told: bool,
    pub lines: Vec<Line>,
    hash: u64,
}

impl Story {
    pub fn new(told: bool) -> Self {
        Story {
            told,
            lines: Vec::new(),
            hash: 0,
        }
    }

    pub fn told(&self) -> bool {
        self.told
    }

    /// A number that two equal histories share.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    pub fn stir(&mut self, at: Time, fact: u64) {
        self.hash = mix(self.hash ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ mix(fact));
    }

    pub fn tell(&mut self, at: Time, part: Part, about: About, text: impl FnOnce() -> String) {
        if self.told {
            self.lines.push(Line {
                at,
                part,
                about,
                text: text(),
            });
        }
    }

    /// A message as `part` sends or takes it; heartbeats are no story.
    pub fn message(
        &mut self,
        at: Time,
        part: Part,
        way: &str,
        session: SessionId,
        message: &Message<Data>,
    ) {
        if self.told && !matches!(message, Message::Heartbeat | Message::NodeStatus(_)) {
            let ranges = concerned(session, message);
            let about = if ranges.is_empty() {
                About::Part
            } else {
                About::Elements(ranges)
            };
            self.lines.push(Line {
                at,
                part,
                about,
                text: format!("{way} {}", brief(message)),
            });
        }
    }

    /// All that concerns one element, oldest first.
    pub fn of(&self, session: SessionId, sequence: Sequence) -> Vec<&Line> {
        let holds = |range: &Range| {
            range.session == session && (range.first..range.first + range.count).contains(&sequence)
        };
        let concerns = |line: &&Line| match &line.about {
            About::All => true,
            About::Part => false,
            About::Elements(ranges) => ranges.iter().any(holds),
        };
        self.lines.iter().filter(concerns).collect()
    }
}

/// Which elements a message is about. `session`: of the link it travels on, where the message does not say.
pub fn concerned(session: SessionId, message: &Message<Data>) -> Vec<Range> {
    let range = |session, first, count: u64| Range {
        session,
        first,
        count,
    };
    match message {
        Message::Submit(submit) => vec![range(session, submit.first, submit.count())],
        Message::Cancel { first, count } | Message::CancelUnstarted { first, count, .. } => {
            vec![range(session, *first, *count)]
        }
        Message::Query { first, .. } => vec![range(session, *first, 1)],
        Message::Clear | Message::Goodbye => vec![range(session, 0, u64::MAX)],
        Message::Results { segments } => segments
            .iter()
            .map(|segment| range(session, segment.first, u64::from(segment.count)))
            .collect(),
        Message::Assign(assign) => {
            vec![range(assign.session, assign.first, u64::from(assign.count))]
        }
        Message::CancelElements { range } | Message::Withdraw { range, .. } => vec![*range],
        Message::Done {
            session, segment, ..
        } => vec![range(*session, segment.first, u64::from(segment.count))],
        Message::GaveBack { ranges }
        | Message::Holding { ranges }
        | Message::Withdrawn { ranges, .. } => ranges.clone(),
        Message::Lost {
            session, sequence, ..
        } => vec![range(*session, *sequence, 1)],
        Message::Chunk(chunk) => vec![range(chunk.session, chunk.first, u64::from(chunk.take))],
        _ => Vec::new(),
    }
}

fn span(first: Sequence, count: u64) -> String {
    if count == 1 {
        format!("{first}")
    } else {
        format!("{first}..{}", first.saturating_add(count))
    }
}

fn bindings(graph: &Graph) -> String {
    let needs = graph.needs.iter();
    let needs = needs.map(|need| format!("{}<{}", need.element, need.on));
    let needs = needs.collect::<Vec<_>>().join(" ");
    format!("needs [{needs}] uses {:?}", graph.uses)
}

/// A message in one line.
pub fn brief(message: &Message<Data>) -> String {
    match message {
        Message::Submit(submit) => {
            format!(
                "Submit {} finished {:?} {:?} {}",
                span(submit.first, submit.count()),
                submit.finished,
                submit.options.capabilities,
                submit.graph.as_deref().map_or(String::new(), bindings)
            )
        }
        Message::Assign(assign) => format!(
            "Assign s{:x} {}",
            assign.session & 0xfff,
            span(assign.first, u64::from(assign.count))
        ),
        Message::Done {
            session, segment, ..
        } => format!(
            "Done s{:x} {} {:?} except {:?} {:?}",
            session & 0xfff,
            span(segment.first, u64::from(segment.count)),
            segment.kind,
            segment.except,
            segment.failure
        ),
        Message::Results { segments } => {
            let each = segments.iter().map(|segment| {
                let failure = segment
                    .failure
                    .as_ref()
                    .map(|failure| format!(" {:?} after {}", failure.code, failure.attempts));
                let span = span(segment.first, u64::from(segment.count));
                format!(
                    "{span} {:?} except {:?}{}",
                    segment.kind,
                    segment.except,
                    failure.unwrap_or_default()
                )
            });
            format!("Results [{}]", each.collect::<Vec<_>>().join("; "))
        }
        Message::Hello(hello) => {
            format!(
                "Hello {:?} incarnation {:x} received {} sent {}",
                hello.role,
                hello.incarnation & 0xffff,
                hello.received,
                hello.sent
            )
        }
        Message::Chunk(chunk) => {
            format!(
                "Chunk {} s{:x} {}",
                chunk.chunk,
                chunk.session & 0xfff,
                span(chunk.first, u64::from(chunk.take))
            )
        }
        Message::ManagerStatus(status) => {
            let groups = status.groups.iter().map(|group| {
                let (name, state, detail) = (&group.group, group.state, &group.detail);
                format!("{name} {state:?} {detail}")
            });
            let groups = groups.collect::<Vec<_>>().join("; ");
            let leaving = if status.leaving { " leaving" } else { "" };
            format!("ManagerStatus [{groups}] {}{leaving}", status.trouble)
        }
        other => format!("{other:?}"),
    }
}
