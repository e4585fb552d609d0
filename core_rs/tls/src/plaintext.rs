//! Frames on their way to the peer, as the bytes that are encrypted: each behind its length, its body packed where that
//! pays. Payloads in files are read where they are mapped.

use std::collections::VecDeque;

use bytes::Bytes;
use scaler_loops::wire::{encode, pack_remote, worth_packing, Codec, Frame, PREFIX};

/// Smaller payloads are copied beside the headers.
const COPIED: usize = 16 << 10;
const LENGTH: usize = 4;

pub struct Plaintext {
    codec: Codec,
    pieces: VecDeque<Bytes>,
    /// Headers and small payloads after the last piece.
    tail: Vec<u8>,
    payloads: Vec<Bytes>,
}

impl Plaintext {
    pub fn new(codec: Codec) -> Plaintext {
        Plaintext {
            codec,
            pieces: VecDeque::new(),
            tail: Vec::new(),
            payloads: Vec::new(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.tail.is_empty()
    }

    pub fn push(&mut self, frame: &Frame<Bytes>) {
        let before = self.tail.len();
        encode(frame, &mut self.tail, &mut self.payloads);
        let body: usize = self.payloads.iter().map(Bytes::len).sum();
        let first = self.payloads.first().map_or(&[][..], |first| first);
        if worth_packing(first, body, self.codec) {
            return self.push_packed(before);
        }
        for payload in self.payloads.drain(..) {
            if payload.len() < COPIED {
                self.tail.extend_from_slice(&payload);
            } else {
                self.pieces
                    .push_back(Bytes::from(std::mem::take(&mut self.tail)));
                self.pieces.push_back(payload);
            }
        }
    }

    fn push_packed(&mut self, before: usize) {
        let mut frame = self.tail.split_off(before + LENGTH);
        for payload in self.payloads.drain(..) {
            frame.extend_from_slice(&payload);
        }
        let packed = pack_remote(&frame, self.codec);
        debug_assert!(packed.len() >= PREFIX);
        self.tail.truncate(before);
        self.tail
            .extend_from_slice(&(packed.len() as u32).to_le_bytes());
        if packed.len() < COPIED {
            self.tail.extend_from_slice(&packed);
        } else {
            self.pieces
                .push_back(Bytes::from(std::mem::take(&mut self.tail)));
            self.pieces.push_back(Bytes::from(packed));
        }
    }

    /// What comes next, `most` bytes of it at most; empty when there is nothing.
    pub fn next(&mut self, most: usize) -> Bytes {
        match self.pieces.front_mut() {
            Some(first) if first.len() > most => first.split_to(most),
            Some(_) => self.pieces.pop_front().unwrap_or_default(),
            None if self.tail.len() > most => {
                self.pieces
                    .push_back(Bytes::from(std::mem::take(&mut self.tail)));
                self.next(most)
            }
            None => Bytes::from(std::mem::take(&mut self.tail)),
        }
    }
}

#[cfg(test)]
mod tests {
    use scaler_loops::wire::Message;

    use super::*;
    use crate::landing::Landing;

    fn frame(sequence: u64, payloads: &[Bytes]) -> Frame<Bytes> {
        let message = |payload: &Bytes| Message::Function {
            id: [1; 16],
            payload: payload.clone(),
        };
        Frame {
            link: 1,
            epoch: 1,
            sequence,
            acknowledged: 0,
            messages: payloads.iter().map(message).collect(),
        }
    }

    /// Bytes that no codec makes smaller.
    fn noise(length: usize) -> Bytes {
        let mut state = 1u64;
        let next = |_| {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(next).collect::<Vec<u8>>().into()
    }

    #[test]
    fn frames_come_out_as_they_went_in_whatever_their_sizes_and_however_they_are_cut() {
        let frames = [
            frame(1, &[]),
            frame(2, &[noise(10), noise(100_000), noise(20)]),
            frame(3, &[noise(1_500_000)]),
            frame(4, &[vec![7; 2_000_000].into(), vec![8; 9_000].into()]),
            frame(5, &[vec![9; 5_000].into()]),
            frame(6, &[noise(300_000), noise(17), noise(300_000)]),
        ];
        for codec in [Codec::Off, Codec::Auto, Codec::Lz4, Codec::Zstd] {
            for most in [7_777, 64 << 10, 8 << 20] {
                let (mut plaintext, mut landing) = (Plaintext::new(codec), Landing::default());
                let mut got = Vec::new();
                frames.iter().for_each(|frame| plaintext.push(frame));
                let mut sent = 0;
                while !plaintext.is_empty() {
                    let bytes = plaintext.next(most);
                    assert!(bytes.len() <= most);
                    sent += bytes.len();
                    landing.take(&bytes, &mut got).unwrap();
                }
                assert!(got == frames, "{codec:?}, {most}");
                assert_eq!(sent < 2_500_000, codec != Codec::Off, "{codec:?}: {sent}");
            }
        }
    }
}
