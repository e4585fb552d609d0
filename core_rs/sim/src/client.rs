//! A client's process: what it wants by its plan, its session, its link to the scheduler and its link to the storage.

use std::collections::{BTreeMap, BTreeSet};

use scaler_engine::dialer::DialerEvent;
use scaler_engine::session::{Session, SessionEvent};
use scaler_engine::wire::{
    Block, Form, Graph, Message, Need, ObjectKey, ObjectUse, OutcomeKind, Payload, QueryKind, Role,
    Segment, Sequence, SessionId, Submit,
};

use crate::context::{Context, Event};
use crate::data::{self, Data};
use crate::network::{Arrival, Part, Wire};
use crate::outward::{hello, Outward};
use crate::queue::Time;
use crate::story::About;
use crate::workload::{Action, ArrayPlan, SessionPlan};

pub struct Client {
    pub index: usize,
    pub id: SessionId,
    pub session: Session<Data>,
    pub scheduler: Outward,
    pub objects: Outward,
    plan: SessionPlan,
    next_action: usize,
    /// Puts without an answer, by request.
    puts: BTreeMap<u32, ObjectKey>,
    /// Gets without an answer.
    gets: BTreeMap<u32, Fetch>,
    last_request: u32,
    /// Objects whose bytes the client still has.
    kept: BTreeMap<ObjectKey, Data>,
    /// How often each shared object was let go of.
    dropped: BTreeMap<u64, u64>,
    functions: BTreeSet<u64>,
    pub said_goodbye: bool,
    /// The node and executor of the task that it is of.
    pub nest: Option<(usize, u64)>,
    /// The scheduler ended the session of a task.
    pub refused: bool,
}

fn graph_of(array: &ArrayPlan) -> Option<Box<Graph>> {
    let needs = array.needs.iter();
    let graph = Graph {
        needs: needs
            .map(|&(element, on)| Need {
                element,
                on,
                announced: on >= array.graph,
            })
            .collect(),
        uses: array.uses.clone(),
    };
    (graph != Graph::default()).then(|| Box::new(graph))
}

struct Fetch {
    key: ObjectKey,
    /// Whose value it is.
    sequence: Sequence,
    /// The client still holds it.
    wanted: bool,
    bytes: Vec<u8>,
}

impl Client {
    pub fn new(context: &mut Context, index: usize, id: SessionId, plan: SessionPlan) -> Self {
        let part = Part::Client(index);
        for (at, _) in &plan.actions {
            context.queue.at(*at, Event::Action { client: index });
        }
        Client {
            index,
            id,
            session: Session::new(id),
            scheduler: Outward::new(context, part, Part::Scheduler, hello(Role::Client, id)),
            objects: Outward::new(context, part, Part::Store, hello(Role::Objects, id)),
            plan,
            next_action: 0,
            puts: BTreeMap::new(),
            gets: BTreeMap::new(),
            last_request: 0,
            kept: BTreeMap::new(),
            dropped: BTreeMap::new(),
            functions: BTreeSet::new(),
            said_goodbye: false,
            nest: None,
            refused: false,
        }
    }

    fn part(&self) -> Part {
        Part::Client(self.index)
    }

    /// All that the plan wants has happened, and everything that was fetched is here.
    pub fn finished(&self) -> bool {
        self.next_action == self.plan.actions.len()
            && self.session.unfinished() == 0
            && self.gets.is_empty()
            && self.puts.is_empty()
    }

    /// The goodbye of a task's session has left.
    pub fn is_gone(&self) -> bool {
        self.said_goodbye && self.nest.is_some() && self.scheduler.dialer.link().is_idle()
    }

    /// For people: what keeps it from being finished.
    pub fn waits_for(&self) -> String {
        let actions = self.plan.actions.len() - self.next_action;
        format!(
            "client {}: {actions} actions, {} puts, {} gets",
            self.index,
            self.puts.len(),
            self.gets.len()
        )
    }

    pub fn goodbye(&mut self, context: &mut Context) {
        if !self.said_goodbye {
            self.said_goodbye = true;
            context.tell(self.part(), About::Part, || "says goodbye".into());
            context.oracle.session_over(self.index);
            self.session.goodbye();
            self.kept.clear();
        }
    }

    pub fn arrival(&mut self, context: &mut Context, wire: Wire, arrival: &Arrival) {
        if !self.scheduler.arrival(context, wire, arrival) {
            self.objects.arrival(context, wire, arrival);
        }
    }

    /// One turn of the process.
    pub fn turn(&mut self, context: &mut Context, scheduler_listens: bool, store_listens: bool) {
        // First: a store that forgot is to be told before anything new is asked of it.
        while let Some(event) = self.objects.event() {
            self.objects_event(context, event);
        }
        while let Some(event) = self.scheduler.event() {
            self.scheduler_event(context, event);
        }
        self.act(context);
        let mut out = Vec::new();
        self.session.drain(&mut out);
        for message in out {
            context.story.message(
                context.queue.now(),
                Part::Client(self.index),
                "sends",
                self.id,
                &message,
            );
            self.scheduler.send(message);
        }
        self.scheduler.pump(context, scheduler_listens);
        self.objects.pump(context, store_listens);
    }

    pub fn next_wakeup(&self) -> Option<Time> {
        [self.scheduler.next_wakeup(), self.objects.next_wakeup()]
            .into_iter()
            .flatten()
            .min()
    }

    fn scheduler_event(&mut self, context: &mut Context, event: DialerEvent<Data>) {
        match event {
            DialerEvent::Welcomed { .. } => context.tell(self.part(), About::Part, || {
                "resumed with the scheduler".into()
            }),
            DialerEvent::Fresh { welcome, .. } => {
                context.tell(self.part(), About::All, || {
                    format!("tells the scheduler everything, epoch {}", welcome.epoch)
                });
                self.session.reset();
            }
            DialerEvent::Message(message) => self.scheduler_says(context, message),
            DialerEvent::Refused { .. } if self.nest.is_some() => self.refused = true,
            DialerEvent::Refused { code, reason } => {
                context.broken(format!(
                    "client {} was refused: {code:?} {reason}",
                    self.index
                ));
            }
        }
    }

    fn scheduler_says(&mut self, context: &mut Context, message: Message<Data>) {
        let now = context.now();
        context
            .story
            .message(now, self.part(), "takes", self.id, &message);
        match self.session.handle(now, message) {
            Some(SessionEvent::Results(segments)) => segments
                .iter()
                .for_each(|segment| self.outcome(context, segment)),
            Some(SessionEvent::Answer { ok: true, .. }) | None => {}
            Some(other) => context.broken(format!("client {} was told {other:?}", self.index)),
        }
    }

    fn outcome(&mut self, context: &mut Context, segment: &Segment<Data>) {
        let now = context.now();
        context.oracle.delivered(now, self.id, segment);
        if segment.kind == OutcomeKind::ValueReference {
            if let Some((key, size)) = segment.payload.as_reference() {
                self.session.hold_object(key, size);
                self.fetch(key, segment.first);
            }
        }
    }

    fn request(&mut self) -> u32 {
        self.last_request += 1;
        self.last_request
    }

    fn fetch(&mut self, key: ObjectKey, sequence: Sequence) {
        let request = self.request();
        self.gets.insert(
            request,
            Fetch {
                key,
                sequence,
                wanted: true,
                bytes: Vec::new(),
            },
        );
        self.objects.send(Message::Get { request, key });
    }

    fn put(&mut self, context: &mut Context, key: ObjectKey) {
        let Some(data) = self.kept.get(&key).cloned() else {
            return;
        };
        let request = self.request();
        self.puts.insert(request, key);
        let size = data.len() as u64;
        for (offset, payload) in data.parts(context.profile.part) {
            self.objects.send(Message::Put {
                request,
                key,
                size,
                offset,
                payload,
            });
        }
    }

    fn objects_event(&mut self, context: &mut Context, event: DialerEvent<Data>) {
        match event {
            DialerEvent::Welcomed { .. } => {}
            DialerEvent::Fresh { .. } => {
                context.tell(self.part(), About::Part, || {
                    "the store forgot: puts and gets again".into()
                });
                self.puts.clear();
                let keys: Vec<_> = self.kept.keys().copied().collect();
                keys.into_iter().for_each(|key| self.put(context, key));
                let gets = std::mem::take(&mut self.gets).into_values();
                gets.filter(|fetch| fetch.wanted)
                    .for_each(|fetch| self.fetch(fetch.key, fetch.sequence));
            }
            DialerEvent::Message(message) => self.store_says(context, message),
            DialerEvent::Refused { code, reason } => {
                context.broken(format!(
                    "client {} was refused by the store: {code:?} {reason}",
                    self.index
                ));
            }
        }
    }

    fn store_says(&mut self, context: &mut Context, message: Message<Data>) {
        match message {
            Message::Stored { request } => {
                self.puts.remove(&request);
            }
            Message::Data {
                request,
                size,
                offset,
                payload,
            } => self.data(context, request, size, offset, &payload),
            Message::Missing { request } => {
                let Some(fetch) = self.gets.remove(&request) else {
                    return;
                };
                if fetch.wanted && !context.oracle.objects_lost(self.id) {
                    context.broken(format!(
                        "the store lost {:?}, a value that client {} was given",
                        fetch.key, self.index
                    ));
                }
                self.session.release_object(fetch.key);
            }
            Message::Heartbeat => {}
            other => context.broken(format!(
                "client {} was told by the store: {other:?}",
                self.index
            )),
        }
    }

    fn data(
        &mut self,
        context: &mut Context,
        request: u32,
        size: u64,
        offset: u64,
        payload: &Data,
    ) {
        let Some(fetch) = self.gets.get_mut(&request) else {
            return context.broken(format!(
                "client {} got data of request {request} that it did not make",
                self.index
            ));
        };
        if offset != fetch.bytes.len() as u64 {
            context.broken(format!(
                "client {} got a part at {offset} after {} bytes",
                self.index,
                fetch.bytes.len()
            ));
        }
        fetch.bytes.extend_from_slice(payload.bytes());
        if fetch.bytes.len() as u64 >= size {
            let Some(fetch) = self.gets.remove(&request) else {
                return;
            };
            let (key, bytes) = (fetch.key, fetch.bytes);
            if bytes != data::value(self.id, fetch.sequence, bytes.len()) {
                context.broken(format!("client {} got other bytes for {key:?}", self.index));
            }
            self.session.release_object(key);
        }
    }

    /// Does what the plan wants by now. What a task needs is on its way to the store by then, no more.
    fn act(&mut self, context: &mut Context) {
        while let Some((at, action)) = self.plan.actions.get(self.next_action) {
            if *at > context.now() || self.said_goodbye {
                return;
            }
            match action.clone() {
                Action::Submit(arrays) => {
                    for array in arrays {
                        self.put_objects(context, &array);
                        self.submit(context, array);
                    }
                }
                Action::Cancel { first, count } => {
                    context.oracle.cancel_asked(self.id, first, count);
                    // Every other one leaves alone what runs.
                    if (first ^ count) % 2 == 0 {
                        self.session.cancel(first, count);
                    } else {
                        self.session.cancel_unstarted(first, count);
                    }
                }
                Action::CancelAll { first, count } => {
                    context.oracle.cancel_asked(self.id, first, count);
                    self.session.cancel(first, count);
                }
                Action::Query { first } => {
                    self.session.query(QueryKind::Explain, first);
                    self.session.query(QueryKind::State, first);
                    self.session.query(QueryKind::Status, first);
                }
                Action::Clear => {
                    context.oracle.cancel_asked(self.id, 0, u64::MAX);
                    self.session.clear();
                    self.kept.clear();
                    self.dropped.values_mut().for_each(|times| *times += 1);
                    // What it was fetching went with its handles.
                    self.gets
                        .values_mut()
                        .for_each(|fetch| fetch.wanted = false);
                }
            }
            self.next_action += 1;
        }
    }

    fn key(&self, data: &Data) -> ObjectKey {
        ObjectKey {
            session: self.id,
            hash: data.hash(),
        }
    }

    /// The objects of an array: those of its elements, counted from its first, and the shared one.
    fn objects_of(&mut self, array: &ArrayPlan) -> Vec<(u32, Data)> {
        let mut objects = Vec::new();
        let mut element = 0;
        for block in &array.blocks {
            if block.form == Form::Reference {
                let sequence = array.first + u64::from(element);
                let length = self.plan.elements[sequence as usize].argument;
                objects.push((
                    element,
                    Data::from_vec(data::argument(self.id, sequence, length)),
                ));
            }
            element += block.count;
        }
        if let Some((number, size)) = array.shared {
            let object = data::shared_object(self.id, number, size);
            let dropped = *self.dropped.entry(number).or_default();
            objects.push((u32::MAX, data::stored_again(object, dropped)));
        }
        objects
    }

    fn put_objects(&mut self, context: &mut Context, array: &ArrayPlan) {
        for (_, data) in self.objects_of(array) {
            let key = self.key(&data);
            if !self.kept.contains_key(&key) {
                self.session.hold_object(key, data.len() as u64);
                self.kept.insert(key, data);
                self.put(context, key);
            }
        }
    }

    /// Of what its elements need, that which has no value to come is left out: a client has it, or knows that there is
    /// none.
    fn submit(&mut self, context: &mut Context, mut array: ArrayPlan) {
        let own = array.first..array.first + array.count();
        array
            .needs
            .retain(|(_, on)| own.contains(on) || self.session.may_be_needed(*on));
        let array = &array;
        let (function, payload) = data::function(self.id, array.function);
        if self.functions.insert(array.function) {
            self.session.function(function, payload);
        }
        let objects = self.objects_of(array);
        let uses: Vec<_> = objects
            .iter()
            .map(|(element, data)| self.object_use(*element, data))
            .collect();
        let blocks = self.blocks(array);
        context.oracle.submitted(self.id, array);
        let options = array.options.clone();
        self.session.submit(Submit {
            function,
            first: array.first,
            options,
            blocks,
            objects: uses,
            finished: Vec::new(),
            graph: graph_of(array),
        });
        if context.random.chance(500) {
            self.let_go(&objects, array.shared);
        }
    }

    fn object_use(&self, element: u32, data: &Data) -> ObjectUse {
        ObjectUse {
            element,
            key: self.key(data),
            size: data.len() as u64,
        }
    }

    /// The handles of shared objects that are in the store go; what runs or waits still holds these. Arguments are kept
    /// for the tasks that have them.
    fn let_go(&mut self, objects: &[(u32, Data)], shared: Option<(u64, usize)>) {
        let is_shared = |(element, _): &&(u32, Data)| *element == u32::MAX;
        let keys: Vec<_> = objects
            .iter()
            .filter(is_shared)
            .map(|(_, data)| self.key(data))
            .collect();
        if self.puts.values().any(|put| keys.contains(put)) {
            return;
        }
        for key in keys {
            if self.kept.remove(&key).is_some() {
                self.session.release_object(key);
            }
        }
        if let Some((number, _)) = shared {
            *self.dropped.entry(number).or_default() += 1;
        }
    }

    fn blocks(&self, array: &ArrayPlan) -> Vec<Block<Data>> {
        let mut blocks = Vec::new();
        let mut at = array.first;
        for block in &array.blocks {
            let elements: Vec<_> = (at..at + u64::from(block.count))
                .map(|sequence| {
                    data::argument(
                        self.id,
                        sequence,
                        self.plan.elements[sequence as usize].argument,
                    )
                })
                .collect();
            let payload = match block.form {
                Form::Single => Data::from_vec(elements.concat()),
                Form::Reference => {
                    let data = Data::from_vec(elements.concat());
                    Data::reference(self.key(&data), data.len() as u64)
                }
                Form::List | Form::Table => data::table(&elements),
            };
            blocks.push(Block {
                count: block.count,
                form: block.form,
                payload,
            });
            at += u64::from(block.count);
        }
        blocks
    }
}
