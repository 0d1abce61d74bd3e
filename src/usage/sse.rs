//! Takes server-sent events apart without keeping a line of them.

/// What an [`SseDecoder`] finds in a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part<'a> {
    /// A piece of the current event's data.
    Data(&'a [u8]),
    /// The current event is whole.
    End,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";
const DATA: &[u8] = b"data";

/// Where in a line the decoder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Line {
    /// This many bytes of the mark that may open a stream.
    Mark(usize),
    /// This many bytes of the field name `data`.
    Name(usize),
    /// Behind the colon, where one space does not belong to the data.
    Colon,
    Data,
    /// A comment, another field, or a line whose beginning is not known.
    Other,
}

/// Decodes `text/event-stream` (WHATWG HTML, "Server-sent events", read 2026-11-23) down to the
/// data of its events. Event names, ids and comments are passed over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SseDecoder {
    line: Line,
    /// A line feed now belongs to the carriage return before it.
    after_return: bool,
    /// The current event has data.
    has_data: bool,
    /// The current event has lost a part and is passed over.
    is_torn: bool,
}

impl SseDecoder {
    pub(crate) const fn new() -> Self {
        Self {
            line: Line::Mark(0),
            after_return: false,
            has_data: false,
            is_torn: false,
        }
    }

    /// Gives up the current event: bytes of the stream are missing here.
    pub(crate) fn tear(&mut self) {
        self.line = Line::Other;
        self.after_return = false;
        self.has_data = false;
        self.is_torn = true;
    }

    pub(crate) fn feed(&mut self, mut bytes: &[u8], mut on_part: impl FnMut(Part<'_>)) {
        while let Some((&byte, rest)) = bytes.split_first() {
            if self.after_return {
                self.after_return = false;
                if byte == b'\n' {
                    bytes = rest;
                    continue;
                }
            }
            bytes = match (self.line, byte) {
                (_, b'\n' | b'\r') => {
                    self.after_return = byte == b'\r';
                    self.end_line(&mut on_part);
                    rest
                }
                (Line::Mark(read), _) if BYTE_ORDER_MARK.get(read) == Some(&byte) => {
                    self.line = Line::Mark(read + 1);
                    rest
                }
                (Line::Mark(0 | 3), _) => {
                    self.line = Line::Name(0);
                    bytes
                }
                (Line::Name(read), _) if DATA.get(read) == Some(&byte) => {
                    self.line = Line::Name(read + 1);
                    rest
                }
                (Line::Name(read), b':') if read == DATA.len() => {
                    self.line = Line::Colon;
                    self.open_data(&mut on_part);
                    rest
                }
                (Line::Colon, b' ') => {
                    self.line = Line::Data;
                    rest
                }
                (Line::Colon | Line::Data, _) => {
                    self.line = Line::Data;
                    let (data, rest) = bytes.split_at(line_length(bytes));
                    if !self.is_torn {
                        on_part(Part::Data(data));
                    }
                    rest
                }
                (Line::Mark(_) | Line::Name(_) | Line::Other, _) => {
                    self.line = Line::Other;
                    &bytes[line_length(bytes)..]
                }
            };
        }
    }

    fn open_data(&mut self, on_part: &mut impl FnMut(Part<'_>)) {
        if self.is_torn {
            return;
        }
        if self.has_data {
            on_part(Part::Data(b"\n"));
        }
        self.has_data = true;
    }

    fn end_line(&mut self, on_part: &mut impl FnMut(Part<'_>)) {
        if matches!(self.line, Line::Mark(0 | 3) | Line::Name(0)) {
            if self.has_data {
                on_part(Part::End);
            }
            self.has_data = false;
            self.is_torn = false;
        }
        self.line = Line::Name(0);
    }
}

/// The bytes up to the end of the line, or all of them.
fn line_length(bytes: &[u8]) -> usize {
    super::json::find(bytes, |byte| (byte == b'\n') | (byte == b'\r')).unwrap_or(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &[u8], piece: usize) -> Vec<String> {
        let mut decoder = SseDecoder::new();
        let mut events = Vec::new();
        let mut open = Vec::new();
        for bytes in stream.chunks(piece) {
            decoder.feed(bytes, |part| match part {
                Part::Data(data) => open.extend_from_slice(data),
                Part::End => {
                    events.push(String::from_utf8_lossy(&open).into_owned());
                    open.clear();
                }
            });
        }
        events
    }

    #[test]
    fn finds_the_data_of_every_event_at_every_piece_size() {
        let cases: [(&str, &[&str]); 14] = [
            ("data: a\n\n", &["a"]),
            ("data:a\r\rdata: b\r\r", &["a", "b"]),
            ("data: a\r\n\r\ndata: b\r\n\r\n", &["a", "b"]),
            ("data: a\r\n\ndata: b\n\r\n", &["a", "b"]),
            ("\u{feff}data: a\n\n", &["a"]),
            ("\u{feff}\u{feff}data: a\n\n", &[]),
            (": comment\n\ndata: a\n: more\n\n", &["a"]),
            ("event: x\nid: 1\nretry: 5\ndata: a\n\n", &["a"]),
            ("data: a\ndata: b\ndata:\ndata:  c\n\n", &["a\nb\n\n c"]),
            ("data\ndatax: a\ndat: a\n data: a\ndata: b\n\n", &["b"]),
            ("data: data: a:b\n\n", &["data: a:b"]),
            ("\n\n\ndata: a\n\n\n\n", &["a"]),
            ("data: a\n\ndata: cut\n", &["a"]),
            ("data:\n\n", &[""]),
        ];
        for (stream, expected) in cases {
            for piece in 1..=stream.len() {
                assert_eq!(
                    events(stream.as_bytes(), piece),
                    expected,
                    "{stream:?} in pieces of {piece}"
                );
            }
        }
    }

    #[test]
    fn a_torn_stream_resumes_at_the_next_event() {
        let mut decoder = SseDecoder::new();
        let mut seen = Vec::new();
        let mut feed = |decoder: &mut SseDecoder, bytes: &[u8]| {
            decoder.feed(bytes, |part| {
                seen.push(match part {
                    Part::Data(data) => String::from_utf8_lossy(data).into_owned(),
                    Part::End => "|".to_owned(),
                });
            });
        };
        feed(&mut decoder, b"data: a\n\ndata: b");
        decoder.tear();
        feed(&mut decoder, b"data: c\ndata: d\n\ndata: e\n\n");
        assert_eq!(seen, ["a", "|", "b", "e", "|"]);
    }
}
