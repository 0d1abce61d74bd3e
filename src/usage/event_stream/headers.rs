/// Reads the headers of a message for its event type.
#[derive(Debug, Default)]
pub(super) struct Headers {
    at: HeaderAt,
    /// The name or value that is being read, as far as it may be one that is looked for.
    text: Text,
    is_event_type: bool,
    is_chunk: bool,
}

#[derive(Clone, Copy, Debug, Default)]
enum HeaderAt {
    #[default]
    NameLength,
    /// With this many bytes to come.
    Name(u8),
    Kind,
    /// With this many bytes of the length to come, and the length so far.
    ValueLength(u8, u16),
    Value(u16),
    Lost,
}

#[derive(Debug, Default)]
struct Text {
    bytes: [u8; 16],
    length: usize,
}

impl Text {
    fn push(&mut self, byte: u8) {
        if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte;
        }
        self.length += 1;
    }

    fn is(&self, text: &[u8]) -> bool {
        self.bytes.get(..self.length) == Some(text)
    }
}

impl Headers {
    /// Whether the payload is a `chunk`.
    pub(super) fn is_chunk(&self) -> bool {
        self.is_chunk
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.at = match self.at {
                HeaderAt::NameLength => {
                    self.text = Text::default();
                    match byte {
                        0 => HeaderAt::Kind,
                        length => HeaderAt::Name(length),
                    }
                }
                HeaderAt::Name(left) => {
                    self.text.push(byte);
                    match left {
                        1 => HeaderAt::Kind,
                        _ => HeaderAt::Name(left - 1),
                    }
                }
                HeaderAt::Kind => {
                    self.is_event_type = self.text.is(b":event-type");
                    self.text = Text::default();
                    match byte {
                        // True and false, which are no bytes long.
                        0 | 1 => HeaderAt::NameLength,
                        2 => HeaderAt::Value(1),
                        3 => HeaderAt::Value(2),
                        4 => HeaderAt::Value(4),
                        // A number, a time.
                        5 | 8 => HeaderAt::Value(8),
                        // Bytes, text.
                        6 | 7 => HeaderAt::ValueLength(2, 0),
                        // A UUID.
                        9 => HeaderAt::Value(16),
                        _ => HeaderAt::Lost,
                    }
                }
                HeaderAt::ValueLength(left, length) => {
                    let length = (length << 8) | u16::from(byte);
                    match (left, length) {
                        (2.., _) => HeaderAt::ValueLength(left - 1, length),
                        (_, 0) => HeaderAt::NameLength,
                        (_, length) => HeaderAt::Value(length),
                    }
                }
                HeaderAt::Value(left) => {
                    self.text.push(byte);
                    match left {
                        1 => {
                            self.is_chunk |= self.is_event_type && self.text.is(b"chunk");
                            HeaderAt::NameLength
                        }
                        _ => HeaderAt::Value(left - 1),
                    }
                }
                HeaderAt::Lost => return,
            };
        }
    }
}
