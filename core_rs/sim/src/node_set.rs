//! A set of nodes, of which a world may see many: units come and go.

/// A bit a node.
#[derive(Clone, Debug, Default)]
pub struct NodeSet(Vec<u64>);

impl NodeSet {
    pub fn has(&self, node: usize) -> bool {
        self.0
            .get(node / 64)
            .is_some_and(|word| word >> (node % 64) & 1 == 1)
    }

    pub fn add(&mut self, node: usize) {
        if self.0.len() <= node / 64 {
            self.0.resize(node / 64 + 1, 0);
        }
        self.0[node / 64] |= 1 << (node % 64);
    }

    pub fn remove(&mut self, node: usize) {
        if let Some(word) = self.0.get_mut(node / 64) {
            *word &= !(1 << (node % 64));
        }
    }

    pub fn clear(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::NodeSet;

    #[test]
    fn a_set_holds_what_was_added_and_not_removed() {
        let mut set = NodeSet::default();
        set.add(3);
        set.add(200);
        set.remove(3);
        set.remove(500);
        assert!(!set.has(3) && set.has(200) && !set.has(201) && !set.has(9_000));
        set.clear();
        assert!(!set.has(200));
    }
}
