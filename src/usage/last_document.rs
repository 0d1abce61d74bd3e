/// The last whole document of a stream, if it is short: where the stream broke off, it says why.
#[derive(Debug, Default)]
pub(super) struct LastDocument {
    current: Vec<u8>,
    is_long: bool,
    last: Vec<u8>,
}

/// An error is no longer, in bytes.
const LONGEST: usize = 2 * 1024;

impl LastDocument {
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        self.is_long |= self.current.len() + bytes.len() > LONGEST;
        if !self.is_long {
            self.current.extend_from_slice(bytes);
        }
    }

    /// The current document is whole.
    pub(super) fn end(&mut self) {
        std::mem::swap(&mut self.current, &mut self.last);
        if self.is_long {
            self.last.clear();
        }
        self.begin();
    }

    /// What there is of the current document is none.
    pub(super) fn begin(&mut self) {
        self.current.clear();
        self.is_long = false;
    }

    /// Empty, if there is none that is short.
    pub(super) fn get(&self) -> &[u8] {
        &self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_short_one_is_kept() {
        let mut last = LastDocument::default();
        assert_eq!(last.get(), b"");
        last.feed(b"{\"a\":");
        last.feed(b"1}");
        last.end();
        assert_eq!(last.get(), b"{\"a\":1}");
        last.feed(b"half");
        last.begin();
        assert_eq!(last.get(), b"{\"a\":1}");
        last.feed(&[b'x'; LONGEST]);
        last.end();
        assert_eq!(last.get().len(), LONGEST);
        last.feed(&[b'x'; LONGEST]);
        last.feed(b"x");
        last.end();
        assert_eq!(last.get(), b"");
    }
}
