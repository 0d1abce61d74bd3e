//! How far the bound of a prompt's tokens is from what tokenizers count.
//!
//! `cargo test --test tokens -- --nocapture` prints the table.

use std::fs;
use std::future;
use std::path::Path;

use bpe_openai::{cl100k_base, o200k_base};
use bytes::Bytes;
use fastrand::Rng;
use futures_util::FutureExt;
use http::{Request, Response};
use http_body_util::Full;
use proactive_rate_limit::provider::{OpenAiTokenizer, RequestFacts, Tokenizer};
use proactive_rate_limit::{BoxError, Limit, ProactiveRateLimitLayer, RateLimitTracker, Tier};
use tower::{Layer, ServiceExt, service_fn};

const SEED: u64 = 20_261_124;

/// What a corpus is to the bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// What prompts are made of: no piece of it may be above the bound.
    Usual,
    /// Noise that nobody writes: no whole may be above the bound.
    Noise,
    /// Known to be above the bound. It is printed, and its share of the truth held.
    Beyond,
}

fn random(length: usize, mut char: impl FnMut(&mut Rng) -> char) -> String {
    let mut rng = Rng::with_seed(SEED);
    (0..length).map(|_| char(&mut rng)).collect()
}

fn one_of(letters: &'static [u8]) -> impl FnMut(&mut Rng) -> char {
    move |rng| rng.choice(letters).map_or('a', |&letter| letter.into())
}

/// The texts of files with this ending in this repository, whatever they are.
fn repository(folder: &str, ending: &str) -> String {
    let mut text = String::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == ending)
            {
                text.push_str(&fs::read_to_string(path).expect("text"));
            }
        }
    }
    text
}

fn prose() -> String {
    [
        include_str!("../README.md"),
        include_str!("../CHANGELOG.md"),
    ]
    .concat()
}

/// Records of a data base, and a table, as tools give them to a model.
fn numbers() -> (String, String) {
    let mut rng = Rng::with_seed(SEED);
    let json = (0..300).map(|_| {
        let (id, value) = (rng.u128(..), rng.f64());
        format!(r#"{{"id":"{id:032x}","v":{value},"n":{}}},"#, rng.u32(..))
    });
    let json = json.collect();
    let table = (0..600).map(|_| {
        let (price, day, second) = (rng.f64() * 100.0, rng.u8(1..29), rng.u8(..60));
        format!(
            "{},{price:.3},2026-11-{day:02}T08:15:{second:02}Z\n",
            rng.u16(..)
        )
    });
    (json, table.collect())
}

const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Sentences about the weather, and a few that are harder.
static LANGUAGES: [(&str, &str); 25] = [
    ("Dhivehi", "މިއަދު މޫސުން ރަނގަޅު، އަހަރެން ޕާކަށް ދާނަން."),
    ("Syriac", "ܫܠܡܐ ܥܠܟܘܢ ܐܝܟܢܐ ܐܝܬܝܟܘܢ"),
    ("Lao", "ມື້ນີ້ອາກາດດີຫຼາຍ ພວກເຮົາໄປສວນສາທາລະນະ"),
    ("Tibetan", "དེ་རིང་གནམ་གཤིས་ཡག་པོ་འདུག །"),
    ("Georgian", "დღეს კარგი ამინდია და პარკში წავალთ"),
    ("Burmese", "ယနေ့ ရာသီဥတု သာယာသည်။"),
    ("Cherokee", "ᎣᏏᏲ ᏙᎯᏧ ᎣᏍᏓ ᏑᎾᎴᎢ"),
    ("Yi", "ꆈꌠꁱꂷ ꊿꀋꏢꋅ"),
    (
        "phonetics",
        "ðə ˈkwɪk ˈbraʊn ˈfɒks ʤʌmps ˌəʊvə ðə ˈleɪzi ˈdɒg",
    ),
    (
        "Chinese",
        "今天的天气很好，我们去公园散步吧。人工智能技术的快速发展正在深刻改变社会生产方式与人们的生活。学而时习之，不亦说乎？",
    ),
    (
        "Japanese",
        "今日は天気がとても良いので、公園へ散歩に行きましょう。プログラミング言語の設計について考える。",
    ),
    (
        "Korean",
        "오늘은 날씨가 아주 좋아서 공원에 산책하러 갑시다. 프로그래밍 언어의 설계를 생각한다.",
    ),
    (
        "Russian",
        "Сегодня хорошая погода, и мы пойдём гулять в парк. Разработка требует терпения.",
    ),
    (
        "Greek",
        "Σήμερα ο καιρός είναι καλός και θα πάμε βόλτα στο πάρκο.",
    ),
    ("Hebrew", "היום מזג האוויר נהדר ואנחנו הולכים לטייל בפארק."),
    ("Arabic", "الطقس جميل اليوم وسنذهب للتنزه في الحديقة."),
    ("Hindi", "आज मौसम अच्छा है और हम पार्क में घूमने जाएंगे।"),
    ("Thai", "วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนสาธารณะกันเถอะ"),
    ("Amharic", "ዛሬ የአየር ሁኔታው ጥሩ ነው እና ወደ መናፈሻ እንሄዳለን።"),
    ("Khmer", "ថ្ងៃនេះអាកាសធាតុល្អណាស់ យើងទៅដើរលេងនៅសួនច្បារ។"),
    (
        "German",
        "Das schöne Wetter überrascht die Donaudampfschifffahrtsgesellschaftskapitäne im Park.",
    ),
    (
        "Finnish",
        "Tänään on kaunis sää, ja menemme puistoon. Epäjärjestelmällisyydestään huolimatta hän onnistui.",
    ),
    (
        "Polish",
        "Dzisiaj jest piękna pogoda, więc pójdziemy na spacer do parku. Źdźbło trawy.",
    ),
    (
        "Vietnamese",
        "Hôm nay thời tiết rất đẹp, chúng ta hãy đi dạo trong công viên.",
    ),
    (
        "Welsh",
        "Mae'r tywydd yn braf heddiw, felly byddwn yn mynd am dro yn Llanfairpwllgwyngyll.",
    ),
];

fn corpora() -> Vec<(&'static str, Kind, String)> {
    let (records, table) = numbers();
    let mut corpora = vec![
        ("prose", Kind::Usual, prose()),
        ("Rust", Kind::Usual, repository("src", "rs")),
        (
            "requests in JSON",
            Kind::Usual,
            repository("tests/fixtures", "txt"),
        ),
        ("tables of limits", Kind::Usual, repository("src", "csv")),
        ("records in JSON", Kind::Usual, records),
        ("times and prices", Kind::Usual, table),
    ];
    let languages = LANGUAGES
        .iter()
        .map(|(name, text)| (*name, Kind::Usual, format!("{text} ").repeat(20)));
    corpora.extend(languages);
    let noise: [(&str, Kind, String); 14] = [
        ("emoji", Kind::Usual, "😀🎉👩‍💻🇩🇪❤️🤷🏽‍♂️🦀".repeat(20)),
        (
            "formulas",
            Kind::Usual,
            "∀x∈ℝ: ⌈x⌉ = −⌊−x⌋, α ∧ ¬β = ¬(¬α ∨ β)\n".repeat(20),
        ),
        ("base64", Kind::Noise, random(8_000, one_of(BASE64))),
        (
            "hexadecimal",
            Kind::Noise,
            random(8_000, one_of(b"0123456789abcdef")),
        ),
        (
            "random ASCII",
            Kind::Noise,
            random(8_000, |rng| rng.u8(32..127).into()),
        ),
        (
            "random letters",
            Kind::Noise,
            random(8_000, |rng| rng.lowercase()),
        ),
        (
            "random capitals",
            Kind::Noise,
            random(8_000, |rng| rng.uppercase()),
        ),
        (
            "random signs",
            Kind::Noise,
            random(8_000, one_of(b"!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~")),
        ),
        ("a genome", Kind::Noise, random(8_000, one_of(b"ACGT"))),
        ("alternating case", Kind::Noise, "aBcDeFgHiJ".repeat(800)),
        ("one letter", Kind::Noise, "a".repeat(8_000)),
        (
            "words of noise",
            Kind::Beyond,
            random(8_000, |rng| match rng.u8(..5) {
                0 => ' ',
                _ => rng.lowercase(),
            }),
        ),
        (
            "rare Chinese",
            Kind::Beyond,
            random(8_000, |rng| rng.char('\u{3400}'..='\u{9fff}')),
        ),
        (
            "random characters",
            Kind::Beyond,
            random(8_000, |rng| rng.char(..)),
        ),
    ];
    corpora.extend(noise);
    corpora
}

/// The bound of `text` as the only string of a request, without what its quotes cost.
fn bound(text: &str) -> u64 {
    let body = serde_json::to_string(text).expect("a string");
    let facts = RequestFacts::from_json(body.as_bytes());
    facts.text_tokens.expect("the text was seen") - 1
}

fn o200k(text: &str) -> u64 {
    o200k_base().count(text) as u64
}

/// Pieces as long as a message, whole characters each.
fn pieces(text: &str) -> impl Iterator<Item = String> {
    let chars: Vec<char> = text.chars().collect();
    let pieces: Vec<_> = chars
        .chunks(400)
        .map(|piece| piece.iter().collect())
        .collect();
    pieces.into_iter()
}

#[test]
fn the_bound_is_above_what_tokenizers_count() {
    println!("seed {SEED}; ratios are to o200k_base, the least of any 400 characters");
    println!(
        "{:18} {:>8} {:>8} {:>8} {:>8} {:>6} {:>6} {:>8}",
        "corpus", "bytes", "o200k", "cl100k", "bound", "ratio", "least", "bytes/2"
    );
    for (name, kind, text) in corpora() {
        let counted = o200k(&text);
        let ratio = |bound: u64, counted: u64| bound as f64 / counted as f64;
        let least = pieces(&text)
            .map(|piece| ratio(bound(&piece), o200k(&piece)))
            .fold(f64::INFINITY, f64::min);
        let whole = ratio(bound(&text), counted);
        println!(
            "{name:18} {:8} {counted:8} {:8} {:8} {whole:6.2} {least:6.2} {:8.2}",
            text.len(),
            cl100k_base().count(text.as_str()),
            bound(&text),
            ratio(text.len() as u64 / 2, counted),
        );
        match kind {
            Kind::Usual => assert!(least >= 1.0, "{name}: {least}"),
            Kind::Noise => assert!(whole >= 1.0, "{name}: {whole}"),
            Kind::Beyond => assert!((0.6..1.0).contains(&whole), "{name}: {whole}"),
        }
        assert!(kind != Kind::Usual || whole < 8.0, "{name}: {whole}");
    }
}

#[test]
fn mixtures_stay_below_the_bound() {
    let corpora: Vec<Vec<char>> = corpora()
        .into_iter()
        .filter(|(_, kind, _)| *kind == Kind::Usual)
        .map(|(_, _, text)| text.chars().collect())
        .collect();
    let mut rng = Rng::with_seed(SEED);
    let mut least = f64::INFINITY;
    for round in 0..3_000 {
        let mut text = String::new();
        while text.len() < 1_000 {
            let corpus = &corpora[rng.usize(..corpora.len())];
            let from = rng.usize(..corpus.len());
            let to = corpus.len().min(from + rng.usize(1..60));
            text.extend(&corpus[from..to]);
        }
        let (bound, counted) = (bound(&text), o200k(&text));
        assert!(
            bound >= counted,
            "seed {SEED}, round {round}: {bound} < {counted}\n{text}"
        );
        least = least.min(bound as f64 / counted as f64);
    }
    println!("the least of 3,000 mixtures: {least:.2}");
}

/// A 300 kB image costs what an image does, however it is inlined.
#[test]
fn images_are_priced_as_images() {
    use proactive_rate_limit::Charge;
    use proactive_rate_limit::provider;

    let pixels = random(300_000, one_of(BASE64));
    // 1,024 times 1,024.
    let png = format!("iVBORw0KGgoAAAANSUhEUgAABAAAAAQACAIAAADwf7zU{pixels}");
    let requests = [
        (
            "openai",
            format!(
                r#"{{"messages":[{{"content":[{{"type":"image_url","image_url":{{"url":"data:image/png;base64,{png}"}}}}]}}]}}"#
            ),
            1_229,
        ),
        (
            "anthropic",
            format!(
                r#"{{"messages":[{{"content":[{{"type":"image","source":{{"type":"base64","media_type":"image/png","data":"{png}"}}}}]}}]}}"#
            ),
            1_369,
        ),
        (
            "gemini",
            format!(
                r#"{{"contents":[{{"parts":[{{"inlineData":{{"mimeType":"image/png","data":"{png}"}}}}]}}]}}"#
            ),
            2_240,
        ),
    ];
    for (name, body, image) in requests {
        let dialect = provider::by_name(name);
        let facts = RequestFacts::from_json(body.as_bytes());
        let input = dialect.price(&facts, Charge::Actual).input_tokens;
        println!(
            "{name:10} {} bytes: {input} tokens, of which the image {image}",
            body.len()
        );
        assert!((image..image + 80).contains(&input), "{name}: {input}");
    }
}

/// Of the text nothing is left to bound, only of what is around it.
#[test]
fn a_tokenizer_counts_the_text_of_a_request() {
    let prose = prose();
    assert!(OpenAiTokenizer.knows("gpt-4o"));
    assert_eq!(OpenAiTokenizer.count("gpt-4o", &prose), o200k(&prose));
    let cl100k = cl100k_base().count(prose.as_str()) as u64;
    assert_eq!(OpenAiTokenizer.count("gpt-4", &prose), cl100k);
    assert_ne!(cl100k, o200k(&prose));
}

/// The layer reserves what its tokenizer counts, for the models it knows.
#[tokio::test(start_paused = true)]
async fn a_layer_reserves_what_its_tokenizer_counts() {
    let reserved = async |model: &str, counts: bool| {
        let tier = Tier::builder("openai-compatible", model)
            .limit(Limit::input_tokens(1_000_000).per_minute())
            .build()
            .unwrap();
        let layer = ProactiveRateLimitLayer::new(tier).tracker(&RateLimitTracker::new());
        let layer = match counts {
            true => layer.tokenizer(OpenAiTokenizer),
            false => layer,
        };
        let silent = service_fn(|_: Request<Full<Bytes>>| {
            future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
        });
        let body = serde_json::json!({"model": model, "messages": [{"content": prose()}]});
        let request = Request::post("/v1/chat/completions")
            .body(Full::new(Bytes::from(body.to_string())))
            .unwrap();
        let mut response = layer.layer(silent).oneshot(request).boxed();
        assert!(response.as_mut().now_or_never().is_none());
        layer.stats().unwrap().limits[0].used
    };
    let counted = o200k(&prose());
    let with = reserved("gpt-4o", true).await;
    // Names, roles and what frames a prompt.
    assert!((counted..counted + 40).contains(&with), "{with}");
    let bound = reserved("gpt-4o", false).await;
    assert!(bound > counted + 1_000, "{bound}");
    // Nobody knows how GPT-6 counts.
    let unknown = reserved("gpt-6-sol", true).await;
    assert_eq!(unknown, reserved("gpt-6-sol", false).await);
}
