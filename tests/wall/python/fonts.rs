//! Fonts under the names that code uses, and the locale that the environment names.

use serde_json::json;

use crate::{execute, is_namespaced, python};
use harness::TestServer;

#[tokio::test]
async fn pillow_and_reportlab_find_fonts_by_name() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        from PIL import ImageFont
        for name in ('DejaVuSans.ttf', 'DejaVuSans-Bold.ttf', 'arial.ttf', 'Arial.ttf', 'simhei.ttf',
                'NotoSansCJK-Regular.ttc', 'LiberationSans-Regular.ttf', 'times.ttf'):
            print(ImageFont.truetype(name, 14).getname()[0])
        try: ImageFont.truetype('nothing.ttf', 14)
        except OSError as error: print(error)
        from reportlab.pdfbase.ttfonts import TTFont
        print(TTFont('name', 'DejaVuSans.ttf').face.name)
        ",
    );
    let answer = execute(&server, &code).await;
    let output = "DejaVu Sans\nDejaVu Sans\nDejaVu Sans\nDejaVu Sans\nNoto Sans CJK JP\nNoto Sans CJK JP\n\
        DejaVu Sans\nDejaVu Serif\ncannot open resource\nDejaVuSans\n";
    let printed =
        answer["stdout"].as_str().expect("it is text").replace("b'DejaVuSans'", "DejaVuSans");
    assert_eq!((printed.as_str(), &answer["stderr"]), (output, &json!("")));
    if is_namespaced(&server).await {
        let path = "from PIL import ImageFont\n\
            for f in ('truetype/dejavu/DejaVuSans.ttf', 'opentype/noto/NotoSansCJK-Regular.ttc'):\n\
            \x20   print(ImageFont.truetype('/usr/share/fonts/' + f, 9).getname()[0])";
        assert_eq!(execute(&server, path).await["stdout"], "DejaVu Sans\nNoto Sans CJK JP\n");
    }
}

/// Missing glyphs would all be the same box.
#[tokio::test]
async fn chinese_japanese_and_korean_are_drawn_with_any_requested_font() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import matplotlib.pyplot as plt, numpy as np
        def ink(letter):
            fig = plt.figure(figsize=(1, 1)); fig.text(0.2, 0.2, letter, fontsize=40); fig.canvas.draw()
            pixels = np.asarray(fig.canvas.buffer_rgba()).copy(); plt.close(fig)
            return pixels
        for setting in ({}, {'font.sans-serif': ['SimHei']}, {'font.family': 'Arial'}, {'font.family': ['Nothing']},
                {'font.family': 'Noto Sans CJK SC'}, {'font.family': 'serif', 'font.serif': ['Times New Roman']}):
            with plt.rc_context(setting):
                boxes = [ink(letter) for letter in '中日한']
                print(all((a != b).any() for a, b in zip(boxes, boxes[1:])))
        ",
    );
    let answer = execute(&server, &code).await;
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!("True\n".repeat(6)), &json!("")));
}

#[tokio::test]
async fn the_locale_of_the_environment_is_installed() {
    let server = TestServer::start("").await;
    let code = python(
        r"
        import getpass, locale, os, sys, zoneinfo
        print(locale.setlocale(locale.LC_ALL, ''), locale.format_string('%d', 1234567, grouping=True))
        print(*(locale.setlocale(locale.LC_ALL, name) for name in ('C', 'POSIX', 'C.UTF-8')))
        try: locale.setlocale(locale.LC_ALL, 'xx_XX.UTF-8')
        except locale.Error as error: print(error)
        print(locale.getpreferredencoding(), sys.getfilesystemencoding(), getpass.getuser())
        print(zoneinfo.ZoneInfo('Asia/Tokyo').key, os.path.expanduser('~') == os.environ['HOME'])
        ",
    );
    let answer = execute(&server, &code).await;
    let output = "C.UTF-8 1234567\nC C C.UTF-8\nunsupported locale setting\nUTF-8 utf-8 user\nAsia/Tokyo True\n";
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!(output), &json!("")));
}
