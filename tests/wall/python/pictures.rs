//! Images: each shown or saved image is returned once, in order.

use crate::{Ran, run};
use harness::TestServer;

/// Width and height from the first bytes of a PNG.
fn size(png: &[u8]) -> (u32, u32) {
    let number = |at: usize| {
        u32::from_be_bytes(png[at..at + 4].try_into().expect("a PNG is longer than its header"))
    };
    assert!(png.starts_with(b"\x89PNG\r\n\x1a\n"), "no PNG");
    (number(16), number(20))
}

fn sizes(ran: &Ran) -> Vec<(u32, u32)> {
    ran.pictures.iter().map(|(_, data)| size(data)).collect()
}

/// [B01] [B02] [B03] [B04] [B06] [B13]
#[tokio::test]
async fn figures_are_returned_whether_shown_saved_or_left_open() {
    let server = TestServer::start("").await;
    let cases = [
        ("plt.plot([1, 2]); plt.show()", vec![(640, 480)]),
        ("plt.plot([1, 2])", vec![(640, 480)]),
        ("plt.figure(figsize=(12, 8)); plt.plot([1]); plt.show()", vec![(1200, 800)]),
        (
            "for n in (2, 3, 4): plt.figure(figsize=(n, 1)); plt.plot([1])\nplt.show()\nplt.figure(figsize=(5, 1)); plt.plot([1])",
            vec![(200, 100), (300, 100), (400, 100), (500, 100)],
        ),
        ("plt.plot([1]); plt.savefig('a.png'); plt.show()", vec![(640, 480)]),
        ("plt.plot([1]); plt.savefig('a.png'); plt.close()", vec![(640, 480)]),
        ("fig, ax = plt.subplots(figsize=(1, 1)); fig.show()", vec![(100, 100)]),
        ("matplotlib.use('Agg'); plt.plot([1]); plt.show()", vec![(640, 480)]),
        ("plt.show = plt.close = None; plt.plot([1])", vec![(640, 480)]),
        ("Image.new('RGB', (7, 5)).show()", vec![(7, 5)]),
        ("os.mkdir('out'); Image.new('RGB', (7, 5)).save('out/x.png')", vec![(7, 5)]),
        ("print('no picture')", vec![]),
        ("open('not.png', 'w').write('a text')", vec![]),
        (
            "os.symlink('/dev/zero', 'x.png'); os.mkfifo('y.png'); os.truncate(os.open('z.png', os.O_CREAT | os.O_RDWR), 1 << 28)",
            vec![],
        ),
    ];
    for (code, expected) in cases {
        let code = format!(
            "import os, matplotlib, matplotlib.pyplot as plt\nfrom PIL import Image\n{code}"
        );
        let ran = run(&server, &code).await;
        assert!(!ran.is_error, "{code}\n{}", ran.result);
        assert_eq!(sizes(&ran), expected, "{code}");
    }
}

/// [B14]
#[tokio::test]
async fn image_types_are_detected_from_their_bytes() {
    let server = TestServer::start("").await;
    let code = "from PIL import Image\nimport time\n\
                for name, kind in (('a.bin', 'JPEG'), ('b', 'GIF'), ('c.txt', 'WEBP')):\n\
                \x20   Image.new('RGB', (8, 8)).save(name, format=kind); time.sleep(0.02)";
    let ran = run(&server, code).await;
    let kinds: Vec<_> = ran.pictures.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["image/jpeg", "image/gif", "image/webp"]);
}

/// [B09]
#[tokio::test]
async fn the_number_of_images_is_limited() {
    let server = TestServer::start("").await;
    let code = "from PIL import Image\nfor n in range(30): Image.new('L', (n + 1, 1)).show()";
    let ran = run(&server, code).await;
    assert_eq!(ran.pictures.len(), 20);
    assert_eq!(size(&ran.pictures[19].1), (20, 1), "the first ones are kept");
}

/// Eight of them are within all other limits.
#[tokio::test]
async fn the_total_size_of_images_is_limited() {
    let server = TestServer::start("").await;
    let head = "import os, struct\ndef picture(n): return b'\\x89PNG\\r\\n\\x1a\\n' + bytes([n]) + os.urandom(6 << 20)\n";
    let shown = "for n in range(8):\n\
        \x20   p = picture(n)\n\
        \x20   left = memoryview(struct.pack('!I', len(p)) + p)\n\
        \x20   while left: left = left[os.write(4, left):]";
    let written = "for n in range(8): open(f'{n}.png', 'wb').write(picture(n))";
    for make in [shown, written] {
        let ran = run(&server, &format!("{head}{make}")).await;
        assert_eq!(ran.pictures.len(), 5, "{make}\n{}", ran.result);
        let line = "[… 3 pictures left out: the limit is 20, 10 MiB each, 32 MiB together …]\n";
        assert_eq!(ran.result, line, "{make}");
    }
}
