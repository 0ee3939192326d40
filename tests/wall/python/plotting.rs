//! Plotting: all common ways, unusual ones, and failures.

use serde_json::{Value, json};

use crate::{alive, execute, python};
use harness::TestServer;

const PLOT: &str = "import matplotlib, matplotlib.pyplot as plt\n";

fn count(answer: &Value) -> usize {
    answer["images"].as_array().expect("a list").len()
}

/// [B06] [B07] [B12] [B13]
#[tokio::test]
async fn each_way_to_plot_returns_its_images() {
    let server = TestServer::start("").await;
    let cases = [
        ("import seaborn as sns; sns.histplot([1, 2, 2, 3])", 1),
        ("import pandas as pd; pd.Series([1, 2]).plot()", 1),
        ("plt.plot([1]); plt.show(); plt.plot([2]); plt.show()", 2),
        ("plt.plot([1]); plt.show(); plt.show()", 1),
        ("for i in range(3): plt.plot([i]); plt.pause(0.001)", 3),
        ("plt.ion(); plt.plot([1]); plt.draw()", 1),
        ("plt.title('日本 😀'); plt.plot([1])", 1),
        (
            "from matplotlib.animation import FuncAnimation\nf, a = plt.subplots()\nx = FuncAnimation(f, lambda i: a.plot([i]), frames=3)\nplt.show()",
            1,
        ),
        ("import os; os.environ['MPLBACKEND'] = 'Qt5Agg'; plt.plot([1]); plt.show()", 1),
        ("plt.close = plt.show = None; plt.plot([1])", 1),
        ("plt.plot([1]); plt.savefig('a.svg'); plt.savefig('a.pdf'); plt.close()", 0),
        ("plt.plot([1]); plt.savefig('a.jpg'); plt.close()", 1),
        (
            "from PIL import Image\na = [Image.new('P', (4, 4), i) for i in range(3)]\na[0].save('a.gif', save_all=True, append_images=a[1:])",
            1,
        ),
    ];
    for (code, pictures) in cases {
        let answer = execute(&server, &format!("{PLOT}{code}")).await;
        assert_eq!(answer["outcome"], "ok", "{code}: {answer}");
        assert_eq!(count(&answer), pictures, "{code}");
    }
}

/// [B06] [B07]
#[tokio::test]
async fn code_that_needs_a_screen_fails_at_once() {
    let server = TestServer::start("").await;
    let cases = [
        ("matplotlib.use('TkAgg')", "ImportError: Cannot load backend 'TkAgg'"),
        ("plt.switch_backend('TkAgg')", "ImportError: Cannot load backend 'TkAgg'"),
        (
            "import cv2, numpy; cv2.imshow('w', numpy.zeros((5, 5, 3), 'uint8')); cv2.waitKey(0)",
            "The function is not implemented",
        ),
    ];
    for (code, words) in cases {
        let answer = execute(&server, &format!("{PLOT}{code}")).await;
        let output = answer["stderr"].as_str().expect("it is text");
        assert!(answer["outcome"] == "failed" && output.contains(words), "{code}: {output}");
    }
}

#[tokio::test]
async fn plotting_errors_are_reported_and_harm_no_other_run() {
    let server = TestServer::start("").await;
    let cases = [
        (
            "f, a = plt.subplots(); a.text(0, 0, r'$\\bad{$')",
            "failed",
            "A figure could not be drawn: ValueError",
        ),
        (
            "from matplotlib._pylab_helpers import Gcf\nGcf.get_all_fig_managers = lambda: 1/0\nplt.plot([1])",
            "failed",
            "A figure could not be drawn: ZeroDivisionError",
        ),
        ("plt.figure(figsize=(300, 300)); plt.plot([1]); plt.show()", "failed", "MemoryError"),
        (
            "from matplotlib.lines import Line2D\nclass L(Line2D):\n  def draw(self, r):\n    while True: pass\nf, a = plt.subplots(); a.add_line(L([0, 1], [0, 1]))",
            "deadline_exceeded",
            "TimeoutError",
        ),
    ];
    for (code, outcome, words) in cases {
        let answer = execute(&server, &format!("{PLOT}{code}")).await;
        let output = answer["stderr"].as_str().expect("it is text");
        assert!(answer["outcome"] == outcome && output.contains(words), "{code}: {answer}");
        assert_eq!(count(&answer), 0, "{code}");
        alive(&server).await;
    }
}

/// A figure that cannot be drawn is an error that the model sees, however it is shown.
#[tokio::test]
async fn other_figures_are_returned_if_one_cannot_be_drawn() {
    let server = TestServer::start("").await;
    let bad = "plt.figure(); plt.plot([1]); plt.figure(); plt.title(r'$\\frac{1}{$'); plt.figure(); plt.plot([1, 2])\n";
    for (end, words) in [
        ("print('chart is ready')", "A figure could not be drawn: ValueError"),
        ("plt.show()", "in <module>\n    plt.show()"),
        ("plt.show(block=False); plt.close('all')", "plt.show(block=False)"),
    ] {
        let answer = execute(&server, &format!("{PLOT}{bad}{end}")).await;
        let output = answer["stderr"].as_str().expect("it is text");
        assert!(answer["outcome"] == "failed" && output.contains(words), "{end}: {output}");
        assert_eq!(count(&answer), 2, "{end}");
    }
}

/// If `show` does not block, the figure stays the current one, as with a window.
#[tokio::test]
async fn a_shown_figure_can_be_saved_and_modified() {
    let server = TestServer::start("").await;
    let size = "import os; print(os.path.getsize('a.png') > 5000)";
    for (code, pictures) in [
        ("plt.plot([3, 1]); plt.show(block=False); plt.savefig('a.png')", 1),
        ("plt.ion(); plt.plot([3, 1]); plt.show(); plt.savefig('a.png')", 1),
        ("plt.plot([3, 1]); plt.pause(0.01); plt.savefig('a.png')", 1),
        ("f, a = plt.subplots(); a.plot([3, 1]); f.show(); f.savefig('a.png')", 1),
        ("plt.plot([3, 1]); plt.show(block=False); plt.title('x'); plt.savefig('a.png')", 2),
        // A new figure would be empty: the one that was shown is saved.
        ("plt.plot([3, 1]); plt.show(); plt.savefig('a.png')", 1),
        ("plt.plot([3, 1]); plt.show(); plt.gcf().savefig('a.png'); plt.plot([2]); plt.show()", 2),
        ("plt.plot([3, 1]); plt.savefig('a.png'); plt.show(); plt.show()", 1),
    ] {
        let answer = execute(&server, &format!("{PLOT}{code}\n{size}")).await;
        let output = (&answer["stdout"], &answer["stderr"]);
        assert_eq!(output, (&json!("True\n"), &json!("")), "{code}");
        assert_eq!(count(&answer), pictures, "{code}");
    }
}

#[tokio::test]
async fn a_blank_image_is_not_returned() {
    let server = TestServer::start("").await;
    for code in [
        "plt.figure()",
        "plt.figure(); plt.show()",
        "plt.gcf().show()",
        "plt.figure(facecolor='red')",
        "plt.figure().add_subplot().set_axis_off()",
    ] {
        let answer = execute(&server, &format!("{PLOT}{code}")).await;
        assert_eq!((&answer["outcome"], count(&answer)), (&json!("ok"), 0), "{code}: {answer}");
    }
}

/// [B10]
#[tokio::test]
async fn missing_glyphs_cause_no_repeated_warnings() {
    let server = TestServer::start("").await;
    let answer = execute(&server, &format!("{PLOT}plt.title('日本' * 20); plt.plot([1])")).await;
    assert_eq!((count(&answer), &answer["stderr"]), (1, &json!("")));
}

/// [G07]
#[tokio::test]
async fn excess_data_on_the_image_channel_is_dropped_and_counted() {
    let server = TestServer::start("").await;
    let empty = python(
        r"
        import os
        for _ in range(100):
            data = bytes(1 << 16)
            while data: data = data[os.write(4, data):]
        print('done')
        ",
    );
    let answer = execute(&server, &empty).await;
    assert_eq!((&answer["stdout"], &answer["images_left_out"]), (&json!("done\n"), &json!(0)));
    alive(&server).await;

    let pictures = python(
        r"
        import os, struct
        body = bytes(1 << 18)
        for i in range(200):
            data = b'\x89PNG\r\n\x1a\n' + struct.pack('!I', i) + body
            data = struct.pack('!I', len(data)) + data
            while data: data = data[os.write(4, data):]
        ",
    );
    let answer = execute(&server, &pictures).await;
    assert_eq!((count(&answer), &answer["images_left_out"]), (20, &json!(180)));
    alive(&server).await;
}

/// [G07]
#[tokio::test]
async fn an_incomplete_image_does_not_consume_the_next_runs_image() {
    let server = TestServer::start("").await;
    let half = "import os, struct; os.write(4, struct.pack('!I', 1000) + b'half')";
    let runs = crate::run_all(&server, &[half, &format!("{PLOT}plt.plot([1])")]).await;
    assert_eq!((runs[0].pictures.len(), runs[1].pictures.len()), (0, 1));
}
