use super::*;
use crate::wire::{Block, Failure, FailureCode, Form, GivenValue, Graph, Need, ObjectUse, Options};

/// A payload that is only a name and a length.
#[derive(Clone, Debug, PartialEq)]
struct Bytes(&'static str, usize);

impl Payload for Bytes {
    fn len(&self) -> usize {
        self.1
    }

    fn from_vec(bytes: Vec<u8>) -> Self {
        Bytes("made", bytes.len())
    }
}

const F: FunctionId = [1; 16];

fn block(count: u32, bytes: usize) -> Block<Bytes> {
    Block {
        count,
        form: if count == 1 { Form::Single } else { Form::List },
        payload: Bytes("arguments", bytes),
    }
}

fn array(first: Sequence, blocks: Vec<Block<Bytes>>) -> Submit<Bytes> {
    Submit {
        function: F,
        first,
        options: Options::default(),
        blocks,
        objects: vec![],
        finished: vec![],
        graph: None,
    }
}

fn session() -> Session<Bytes> {
    let mut session = Session::new(7);
    session.function(F, Bytes("function", 40));
    session
}

fn sent(session: &mut Session<Bytes>) -> Vec<Message<Bytes>> {
    let mut out = Vec::new();
    session.drain(&mut out);
    out
}

fn submits(messages: &[Message<Bytes>]) -> Vec<&Submit<Bytes>> {
    messages
        .iter()
        .filter_map(|m| {
            if let Message::Submit(submit) = m {
                Some(submit)
            } else {
                None
            }
        })
        .collect()
}

fn values(first: Sequence, count: u32) -> Segment<Bytes> {
    let kind = if count == 1 {
        OutcomeKind::ValueSingle
    } else {
        OutcomeKind::ValueList
    };
    Segment {
        first,
        count,
        kind,
        payload: Bytes("values", 10),
        failure: None,
        except: vec![],
        busy_us: 0,
    }
}

fn cancelled(first: Sequence, count: u32) -> Segment<Bytes> {
    Segment {
        kind: OutcomeKind::Cancelled,
        payload: Bytes("", 0),
        ..values(first, count)
    }
}

fn results(session: &mut Session<Bytes>, segments: Vec<Segment<Bytes>>) -> Vec<Segment<Bytes>> {
    match session.handle(0, Message::Results { segments }) {
        Some(SessionEvent::Results(segments)) => segments,
        None => vec![],
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_function_is_told_once_before_its_first_use() {
    let mut session = session();
    session.function(F, Bytes("function", 40));
    session.submit(array(0, vec![block(1, 5)]));
    let sent = sent(&mut session);
    assert!(matches!(sent[0], Message::Function { id: F, .. }));
    assert!(matches!(sent[1], Message::Submit(_)));
    assert_eq!(sent.len(), 2);
}

#[test]
fn neighbouring_submissions_that_leave_together_are_one_array() {
    let mut session = session();
    for first in 0..5 {
        session.submit(array(first, vec![block(1, 5)]));
    }
    let together = sent(&mut session);
    assert_eq!(submits(&together).len(), 1);
    assert_eq!(submits(&together)[0].count(), 5);
    session.submit(array(5, vec![block(1, 5)]));
    assert_eq!(submits(&sent(&mut session))[0].first, 5);
}

#[test]
fn what_waits_to_be_sent_is_counted_in_bytes() {
    let mut session = session();
    sent(&mut session);
    session.submit(array(0, vec![block(1, 100)]));
    session.submit(array(1, vec![block(1, 50)]));
    assert_eq!(session.queued_bytes(), 150);
    sent(&mut session);
    assert_eq!(session.queued_bytes(), 0);
    session.reset();
    assert!(
        session.queued_bytes() > 150,
        "the function is told again, too"
    );
}

#[test]
fn submissions_with_other_options_do_not_join() {
    let mut session = session();
    session.submit(array(0, vec![block(1, 5)]));
    let mut urgent = array(1, vec![block(1, 5)]);
    urgent.options.priority = 1;
    session.submit(urgent);
    assert_eq!(submits(&sent(&mut session)).len(), 2);
}

#[test]
fn joined_submissions_keep_their_own_objects() {
    let mut session = session();
    let key = ObjectKey {
        session: 7,
        hash: [3; 16],
    };
    session.submit(array(0, vec![block(1, 5)]));
    let mut second = array(1, vec![block(1, 5)]);
    second.objects = vec![ObjectUse {
        element: 0,
        key,
        size: 9,
    }];
    session.submit(second);
    assert_eq!(
        submits(&sent(&mut session))[0].objects,
        vec![ObjectUse {
            element: 1,
            key,
            size: 9
        }]
    );
}

#[test]
fn a_submission_larger_than_a_frame_is_cut_between_blocks() {
    let mut session = session();
    session.submit(array(0, (0..16).map(|_| block(1024, 60_000)).collect()));
    let all = sent(&mut session);
    let counts: Vec<_> = submits(&all)
        .iter()
        .map(|submit| (submit.first, submit.count()))
        .collect();
    assert_eq!(counts, vec![(0, 8192), (8192, 8192)]);
}

#[test]
fn an_outcome_is_handed_out_once() {
    let mut session = session();
    session.submit(array(0, vec![block(4, 5)]));
    assert_eq!(
        results(&mut session, vec![values(0, 2)]),
        vec![values(0, 2)]
    );
    assert_eq!(results(&mut session, vec![values(0, 2)]), vec![]);
    let again = results(&mut session, vec![values(0, 4)]);
    assert_eq!(
        again,
        vec![Segment {
            except: vec![0, 1],
            ..values(0, 4)
        }]
    );
    assert_eq!(session.unfinished(), 0);
}

#[test]
fn exceptions_from_a_segment_stay_unfinished() {
    let mut session = session();
    session.submit(array(0, vec![block(4, 5)]));
    let but_one = Segment {
        except: vec![2],
        ..values(0, 4)
    };
    assert_eq!(results(&mut session, vec![but_one.clone()]), vec![but_one]);
    assert!(session.is_unfinished(2));
    assert_eq!(session.unfinished(), 1);
}

#[test]
fn a_verdict_on_a_large_range_names_only_the_unfinished() {
    let mut session = session();
    session.submit(array(10, vec![block(3, 5)]));
    results(&mut session, vec![values(11, 1)]);
    let all = results(&mut session, vec![cancelled(0, u32::MAX)]);
    assert_eq!(all, vec![cancelled(10, 1), cancelled(12, 1)]);
}

#[test]
fn a_block_is_let_go_of_with_its_last_element() {
    let mut session = session();
    session.submit(array(0, vec![block(2, 100), block(2, 200)]));
    results(&mut session, vec![values(0, 1)]);
    assert_eq!(session.kept_bytes(), 300);
    results(&mut session, vec![values(1, 1)]);
    assert_eq!(session.kept_bytes(), 200);
    results(&mut session, vec![values(2, 2)]);
    assert_eq!(session.kept_bytes(), 0);
}

#[test]
fn a_forgotten_function_goes_with_its_last_element() {
    let mut session = session();
    session.submit(array(0, vec![block(2, 5)]));
    session.forget_function(F);
    sent(&mut session);
    results(&mut session, vec![values(0, 1)]);
    assert_eq!(sent(&mut session), vec![]);
    results(&mut session, vec![values(1, 1)]);
    assert_eq!(sent(&mut session), vec![Message::ForgetFunction { id: F }]);
}

#[test]
fn a_scheduler_that_forgot_is_told_what_is_unfinished() {
    let mut session = session();
    let key = ObjectKey {
        session: 7,
        hash: [3; 16],
    };
    session.hold_object(key, 9);
    session.submit(array(0, vec![block(2, 5), block(2, 5), block(4, 5)]));
    sent(&mut session);
    results(&mut session, vec![values(2, 2), values(5, 1)]);
    session.cancel(6, 10);
    session.reset();
    let again = sent(&mut session);
    assert_eq!(again[0], Message::HoldObject { key, size: 9 });
    assert!(matches!(again[1], Message::Function { id: F, .. }));
    let told: Vec<_> = submits(&again)
        .iter()
        .map(|s| (s.first, s.count(), s.finished.clone()))
        .collect();
    assert_eq!(told, vec![(0, 2, vec![]), (4, 4, vec![(1, 1)])]);
    assert_eq!(again.last(), Some(&Message::Cancel { first: 6, count: 2 }));
    assert_eq!(
        results(&mut session, vec![values(0, 2)]),
        vec![values(0, 2)]
    );
}

#[test]
fn a_cancel_of_what_is_done_is_not_sent() {
    let mut session = session();
    session.submit(array(0, vec![block(3, 5)]));
    sent(&mut session);
    results(&mut session, vec![values(1, 1)]);
    session.cancel(0, 3);
    let cancels = vec![
        Message::Cancel { first: 0, count: 1 },
        Message::Cancel { first: 2, count: 1 },
    ];
    assert_eq!(sent(&mut session), cancels);
}

#[test]
fn clear_cancels_everything_again_after_a_reset() {
    let mut session = session();
    session.hold_object(
        ObjectKey {
            session: 7,
            hash: [3; 16],
        },
        9,
    );
    session.submit(array(0, vec![block(3, 5)]));
    session.clear();
    assert_eq!(sent(&mut session).last(), Some(&Message::Clear));
    session.reset();
    let again = sent(&mut session);
    assert!(again
        .iter()
        .all(|message| !matches!(message, Message::HoldObject { .. })));
    assert_eq!(again.last(), Some(&Message::Cancel { first: 0, count: 3 }));
}

#[test]
fn object_handles_are_counted() {
    let mut session = Session::<Bytes>::new(7);
    let key = ObjectKey {
        session: 7,
        hash: [3; 16],
    };
    session.hold_object(key, 9);
    session.hold_object(key, 9);
    session.release_object(key);
    assert_eq!(
        sent(&mut session),
        vec![Message::HoldObject { key, size: 9 }]
    );
    session.release_object(key);
    assert_eq!(sent(&mut session), vec![Message::ReleaseObject { key }]);
}

#[test]
fn an_object_is_held_until_the_outcomes_of_its_elements_are_here() {
    let mut session = session();
    let [own, shared] = [1, 2].map(|n| ObjectKey {
        session: 7,
        hash: [n; 16],
    });
    session.hold_object(own, 9);
    session.hold_object(shared, 9);
    let used = |element, key| ObjectUse {
        element,
        key,
        size: 9,
    };
    session.submit(Submit {
        objects: vec![used(u32::MAX, shared), used(1, own)],
        ..array(0, vec![block(3, 20)])
    });
    session.release_object(own);
    session.release_object(shared);
    let releases = |messages: &[Message<Bytes>]| {
        let released = messages.iter().filter_map(|message| match message {
            Message::ReleaseObject { key } => Some(*key),
            _ => None,
        });
        released.collect::<Vec<_>>()
    };
    assert_eq!(releases(&sent(&mut session)), vec![]);
    session.reset();
    let again = sent(&mut session);
    assert!(again.contains(&Message::HoldObject { key: own, size: 9 }));
    assert!(again.contains(&Message::HoldObject {
        key: shared,
        size: 9
    }));
    results(&mut session, vec![values(0, 2)]);
    assert_eq!(releases(&sent(&mut session)), vec![own]);
    results(&mut session, vec![values(2, 1)]);
    assert_eq!(releases(&sent(&mut session)), vec![shared]);
    session.release_object(shared);
    assert_eq!(releases(&sent(&mut session)), vec![]);
}

#[test]
fn output_is_asked_for_again_after_a_reset_before_all_else() {
    let mut session = session();
    let output = || Message::Output {
        session: 7,
        lines: 1,
        dropped: 2,
        payload: Bytes("lines", 5),
    };
    assert_eq!(session.handle(0, output()), None, "nobody asked");
    session.stream_output();
    session.submit(array(0, vec![block(1, 5)]));
    let told = sent(&mut session);
    assert_eq!(told[1], Message::StreamOutput);
    let heard = session.handle(0, output());
    let payload = Bytes("lines", 5);
    assert_eq!(
        heard,
        Some(SessionEvent::Output {
            dropped: 2,
            payload
        })
    );
    session.reset();
    assert_eq!(sent(&mut session)[0], Message::StreamOutput);
}

#[test]
fn an_answer_comes_once_and_is_asked_for_again_after_a_reset() {
    let mut session = Session::<Bytes>::new(7);
    let request = session.query(QueryKind::Explain, 3);
    sent(&mut session);
    session.reset();
    assert_eq!(
        sent(&mut session),
        vec![Message::Query {
            request,
            kind: QueryKind::Explain,
            first: 3
        }]
    );
    let answer = Message::Answer {
        request,
        ok: true,
        text: "queued".into(),
    };
    assert!(matches!(
        session.handle(0, answer.clone()),
        Some(SessionEvent::Answer { .. })
    ));
    assert_eq!(session.handle(0, answer), None);
}

#[test]
fn nothing_is_sent_after_goodbye() {
    let mut session = session();
    session.submit(array(0, vec![block(1, 5)]));
    session.goodbye();
    session.cancel(0, 1);
    assert_eq!(sent(&mut session).last(), Some(&Message::Goodbye));
    session.reset();
    assert_eq!(sent(&mut session), vec![Message::Goodbye]);
}

#[test]
fn nonsense_from_the_scheduler_is_named_and_changes_nothing() {
    let mut session = session();
    session.submit(array(0, vec![block(4, 5)]));
    let failure = Failure {
        code: FailureCode::Rejected,
        attempts: 0,
        status: 0,
        nodes: vec![],
        detail: String::new(),
    };
    let nonsense = [
        Segment {
            except: vec![3, 1],
            ..values(0, 4)
        },
        Segment {
            except: vec![4],
            ..values(0, 4)
        },
        Segment {
            first: u64::MAX,
            ..values(0, 2)
        },
        Segment {
            kind: OutcomeKind::Exception,
            ..values(0, 2)
        },
        Segment {
            kind: OutcomeKind::Failure,
            ..values(0, 2)
        },
        values(0, 0),
    ];
    for segment in nonsense {
        let message = Message::Results {
            segments: vec![values(0, 1), segment],
        };
        assert!(matches!(
            session.handle(0, message),
            Some(SessionEvent::Malformed { .. })
        ));
    }
    let reason = Message::Function {
        id: F,
        payload: Bytes("x", 1),
    };
    assert!(matches!(
        session.handle(0, reason),
        Some(SessionEvent::Malformed { .. })
    ));
    assert_eq!(session.unfinished(), 4);
    let verdict = Segment {
        kind: OutcomeKind::Failure,
        failure: Some(failure),
        ..values(0, 4)
    };
    assert_eq!(results(&mut session, vec![verdict.clone()]), vec![verdict]);
}

mod histories {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever comes, twice or in any order: each element's outcome is handed out once, and none stays kept.
        #[test]
        fn each_element_is_resolved_once(
            sizes in prop::collection::vec((1u32..20, any::<bool>()), 1..12),
            segments in prop::collection::vec((0u64..120, 1u32..40, prop::collection::vec(0u32..40, 0..4)), 0..40),
        ) {
            let mut session = session();
            let mut first = 0;
            for (count, leave) in sizes {
                session.submit(array(first, vec![block(count, 10)]));
                first += u64::from(count);
                if leave { session.reset(); sent(&mut session); }
            }
            let mut resolved = vec![0; first as usize];
            let mut note = |segments: Vec<Segment<Bytes>>| for segment in segments {
                for offset in (0..segment.count).filter(|offset| !segment.except.contains(offset)) {
                    resolved[(segment.first + u64::from(offset)) as usize] += 1;
                }
            };
            for (start, count, mut except) in segments {
                except.retain(|offset| *offset < count);
                except.sort_unstable();
                except.dedup();
                note(results(&mut session, vec![Segment { except, ..values(start, count) }]));
                session.reset();
                sent(&mut session);
            }
            note(results(&mut session, vec![cancelled(0, first as u32)]));
            prop_assert!(resolved.iter().all(|&times| times == 1));
            prop_assert_eq!(session.unfinished(), 0);
            prop_assert_eq!(session.kept_bytes(), 0);
        }
    }
}

fn needing(first: Sequence, count: u32, needs: &[(u32, Sequence)], uses: &[u32]) -> Submit<Bytes> {
    let mut submit = array(first, vec![block(count, 5)]);
    let needs = needs.iter().map(|&(element, on)| Need {
        element,
        on,
        announced: true,
    });
    submit.graph = Some(Box::new(Graph {
        needs: needs.collect(),
        uses: uses.to_vec(),
    }));
    submit
}

fn raised(first: Sequence) -> Segment<Bytes> {
    Segment {
        kind: OutcomeKind::Exception,
        ..values(first, 1)
    }
}

#[test]
fn an_element_that_is_not_wanted_ends_with_the_last_that_takes_its_value() {
    let mut session = session();
    session.submit(needing(0, 1, &[], &[2]));
    session.submit(needing(1, 2, &[(0, 0), (1, 0)], &[]));
    results(&mut session, vec![values(1, 1)]);
    assert!(session.is_unfinished(0));
    results(&mut session, vec![values(2, 1)]);
    assert_eq!((session.unfinished(), session.kept_bytes()), (0, 0));
}

#[test]
fn a_chain_of_unwanted_elements_ends_as_a_whole_however_long_it_is() {
    let mut session = session();
    session.submit(needing(0, 1, &[], &[1]));
    for first in 1..50_000 {
        let uses = u32::from(first < 49_999);
        session.submit(needing(first, 1, &[(0, first - 1)], &[uses]));
    }
    results(&mut session, vec![values(49_999, 1)]);
    assert_eq!(session.unfinished(), 0);
}

#[test]
fn what_needs_a_failed_element_fails_with_it_and_names_it() {
    let mut session = session();
    session.submit(needing(0, 1, &[], &[1]));
    session.submit(needing(1, 1, &[(0, 0)], &[1]));
    session.submit(needing(2, 1, &[(0, 1)], &[]));
    let told = results(&mut session, vec![raised(0)]);
    assert_eq!(told[0], raised(0));
    // The one between is not wanted, and its client need not hear of it.
    assert_eq!((told[1].first, told[1].kind), (2, OutcomeKind::Failure));
    let failure = told[1].failure.as_ref().expect("a failure says which");
    assert_eq!(
        (failure.code, failure.detail.as_str()),
        (FailureCode::Dependency, "0")
    );
    assert_eq!(session.unfinished(), 0);
}

#[test]
fn a_scheduler_that_forgot_is_told_the_values_that_it_lacks() {
    let mut session = session();
    session.submit(array(0, vec![block(2, 5)]));
    session.submit(needing(2, 1, &[(0, 1)], &[]));
    results(&mut session, vec![values(0, 2)]);
    sent(&mut session);
    session.reset();
    let again = sent(&mut session);
    assert_eq!(submits(&again).len(), 1);
    session.handle(
        0,
        Message::Lacking {
            sequences: vec![1, 5],
        },
    );
    let answer = sent(&mut session);
    assert!(matches!(
        answer[0],
        Message::Value {
            id: 1,
            count: 2,
            ..
        }
    ));
    let given = |on, value, index| GivenValue { on, value, index };
    let expected = Message::Given {
        given: vec![given(1, 1, 1), given(5, 0, 0)],
    };
    assert_eq!(answer[1], expected);
    assert_eq!(answer[2], Message::DropValues { ids: vec![1] });
    assert!(session.may_be_needed(1) && !session.may_be_needed(0));
}

#[test]
fn what_is_said_again_announces_all_that_is_left() {
    let mut session = session();
    session.submit(needing(0, 1, &[], &[3]));
    session.submit(needing(1, 2, &[(0, 0), (1, 0)], &[]));
    results(&mut session, vec![values(1, 1)]);
    session.reset();
    let again = sent(&mut session);
    let uses = |submit: &Submit<Bytes>| submit.graph.as_ref().map(|graph| graph.uses.clone());
    assert_eq!(uses(submits(&again)[0]), Some(vec![2, 0, 0]));
}
