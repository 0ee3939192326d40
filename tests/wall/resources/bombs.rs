//! Decompression bombs, and images and file names that are crafted to harm the code that processes them.

use serde_json::json;

use crate::{alive, execute, python};
use harness::TestServer;

/// [C23] [C28]
#[tokio::test]
async fn an_archive_larger_than_the_disk_is_an_error_in_the_code() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import gzip, os, shutil
        # Twelve times 64 MiB of zeros, one after another, as the format allows.
        open('bomb.gz', 'wb').write(gzip.compress(bytes(64 << 20), 1) * 12)
        print(os.path.getsize('bomb.gz') < 8 << 20)
        try: shutil.copyfileobj(gzip.open('bomb.gz'), open('out', 'wb'), 1 << 20)
        except OSError as e: print(e.errno in (27, 28), os.path.getsize('out') > 400 << 20)
        ",
    );
    assert_eq!(execute(&server, &code).await["stdout"], "True\nTrue True\n");
    alive(&server).await;
}

/// [B14] Belljar decodes no images.
#[tokio::test]
async fn an_image_bomb_is_returned_without_decoding() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import struct, zlib
        def chunk(kind, data): return struct.pack('!I', len(data)) + kind + data + struct.pack('!I', zlib.crc32(kind + data))
        side = 60_000
        # As many rows as fit into the time; the header declares 3.6 GB.
        header = struct.pack('!IIBBBBB', side, side, 8, 0, 0, 0, 0)
        rows = zlib.compress(bytes(64 << 20), 1)
        png = b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', header) + chunk(b'IDAT', rows) + chunk(b'IEND', b'')
        open('bomb.png', 'wb').write(png)
        print(len(png))
        ",
    );
    let answer = execute(&server, &code).await;
    let length: usize = answer["stdout"].as_str().and_then(|n| n.trim().parse().ok()).expect("one");
    let data = answer["images"][0]["data"].as_str().expect("it came back");
    assert_eq!((length < 1 << 20, data.len()), (true, length.div_ceil(3) * 4));
    alive(&server).await;
}

/// [B14]
#[tokio::test]
async fn images_over_the_size_limit_are_omitted_and_counted() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import os, struct
        def picture(size): return b'\x89PNG\r\n\x1a\n' + bytes(size - 8)
        for size in (10 << 20, (10 << 20) + 1): open(f'{size}.png', 'wb').write(picture(size))
        frame = struct.pack('!I', (10 << 20) + 1) + picture((10 << 20) + 1)
        while frame: frame = frame[os.write(4, frame):]
        ",
    );
    let answer = execute(&server, &code).await;
    let sizes: Vec<_> = answer["images"].as_array().expect("a list").iter().collect();
    assert_eq!((sizes.len(), &answer["images_left_out"]), (1, &json!(2)), "{:.300}", answer);
    alive(&server).await;
}

/// [C02] [B14]
#[tokio::test]
async fn deceptive_file_names_are_returned_unchanged() {
    let server = TestServer::start("").await;
    let names = [
        "\u{202e}gnp.exe",
        "-rf",
        "a\"b\\c",
        "\u{1b}[31m",
        "new\nline",
        " ",
        "...",
        "CON",
        "日本",
        "e\u{301}",
        "\u{e9}",
        "%2e%2e%2f",
        "$(id)",
    ];
    let longest = "日".repeat(85);
    let code = format!(
        "for name in {}: open(name, 'w').write(name)\n\
         try: open('日' * 86, 'w')\nexcept OSError as e: print(e.errno)",
        json!([&names[..], &[longest.as_str()]].concat())
    );
    let answer = execute(&server, &code).await;
    // 36 is ENAMETOOLONG.
    assert_eq!(answer["stdout"], "36\n", "{answer}");
    let files = answer["files"].as_array().expect("a list");
    let mut found: Vec<_> = files.iter().filter_map(|file| file["name"].as_str()).collect();
    let mut written = [&names[..], &[longest.as_str()]].concat();
    found.sort_unstable();
    written.sort_unstable();
    assert_eq!(found, written);
}

/// [B14] Byte for byte as an image library writes them, decoded in another cell.
#[tokio::test]
async fn returned_images_can_be_decoded() {
    let server = TestServer::start("").await;
    let code = "import matplotlib.pyplot as plt\nfrom PIL import Image\nimport cv2, numpy\n\
        plt.figure(figsize=(2, 1)); plt.plot([1, 2]); plt.show()\n\
        Image.new('RGB', (7, 5), 'red').save('a.jpg'); Image.new('P', (3, 2)).save('b.gif')\n\
        cv2.imwrite('c.png', numpy.zeros((4, 6, 3), 'uint8')); Image.new('RGB', (9, 8)).show()";
    let answer = execute(&server, code).await;
    let images = answer["images"].as_array().expect("a list");
    let files: Vec<_> = (0..)
        .zip(images)
        .map(|(n, image)| json!({"name": format!("picture {n}"), "data": image["data"]}))
        .collect();
    let look = "import glob\nfrom PIL import Image\n\
        for name in glob.glob('picture *'): Image.open(name).verify()\n\
        print(sorted((Image.open(n).format, *Image.open(n).convert('RGB').size) for n in glob.glob('picture *')))";
    let reply = server.post("/x/execute", &json!({"code": look, "files": files})).await;
    assert_eq!(
        reply.body["stdout"],
        "[('GIF', 3, 2), ('JPEG', 7, 5), ('PNG', 6, 4), ('PNG', 9, 8), ('PNG', 200, 100)]\n",
        "{}",
        reply.body
    );
}
