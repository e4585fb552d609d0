//! How a peer learns where TLS is: it asks over CURVE, before its hello. Question and answer are frames without a header,
//! which no link ever sends.

use scaler_loops::wire::PREFIX;

use crate::identity::Pin;

const MARK: [u8; 4] = *b"tls\x01";
const LENGTH: usize = 4;

/// Bytes of the question, its length included.
pub const QUESTION: usize = LENGTH + PREFIX + MARK.len();
pub const ANSWER: usize = QUESTION + 2 + 32;

/// Where a server listens and who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Introduction {
    /// 0: nowhere; CURVE goes on.
    pub port: u16,
    pub pin: Pin,
}

/// With its length, for a stream.
pub fn question() -> [u8; QUESTION] {
    let mut bytes = [0; QUESTION];
    begin(&mut bytes);
    bytes
}

/// Whether a stream that begins like that is a question. `None`: too few bytes to tell.
pub fn asks(bytes: &[u8]) -> Option<bool> {
    let question = question();
    match bytes.len() < QUESTION {
        true if question.starts_with(bytes) => None,
        _ => Some(bytes.starts_with(&question)),
    }
}

impl Introduction {
    /// With its length, for a stream.
    pub fn answer(&self) -> [u8; ANSWER] {
        let mut bytes = [0; ANSWER];
        begin(&mut bytes);
        bytes[QUESTION..QUESTION + 2].copy_from_slice(&self.port.to_le_bytes());
        bytes[QUESTION + 2..].copy_from_slice(&self.pin);
        bytes
    }

    /// `None`: something else.
    pub fn read(bytes: &[u8]) -> Option<Introduction> {
        let mut expected = [0; ANSWER];
        begin(&mut expected);
        if bytes.len() != ANSWER || bytes[..QUESTION] != expected[..QUESTION] {
            return None;
        }
        let mut pin = [0; 32];
        pin.copy_from_slice(&bytes[QUESTION + 2..]);
        let port = u16::from_le_bytes([bytes[QUESTION], bytes[QUESTION + 1]]);
        Some(Introduction { port, pin })
    }
}

fn begin(bytes: &mut [u8]) {
    let (whole, body) = (bytes.len() - LENGTH, bytes.len() - LENGTH - PREFIX);
    bytes[..LENGTH].copy_from_slice(&(whole as u32).to_le_bytes());
    bytes[LENGTH + 8..LENGTH + PREFIX].copy_from_slice(&(body as u32).to_le_bytes());
    bytes[LENGTH + PREFIX..QUESTION].copy_from_slice(&MARK);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_told_from_a_hello_as_soon_as_that_can_be() {
        let question = question();
        for cut in 0..QUESTION {
            assert_eq!(asks(&question[..cut]), None);
        }
        assert_eq!(asks(&question), Some(true));
        assert_eq!(asks(&[question[0], 0, 0, 0, 0, 0, 0, 0, 9]), Some(false));
    }

    #[test]
    fn an_answer_comes_out_as_it_went_in() {
        let introduction = Introduction {
            port: 41_234,
            pin: [7; 32],
        };
        let answer = introduction.answer();
        assert_eq!(Introduction::read(&answer), Some(introduction));
        assert_eq!(Introduction::read(&answer[1..]), None);
        assert_eq!(Introduction::read(&question()), None);
    }
}
