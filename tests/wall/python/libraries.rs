//! The libraries of Gemini's own environment: all are present and work.

use serde_json::json;

use crate::{execute, ran};
use harness::{Program, TestServer, Warden, direct};

/// Each of the 37 on Google's page: its name there, code for its main purpose, and the output.
const WORKS: &[(&str, &str, &str)] = &[
    (
        "attrs",
        "import attr\nP = attr.make_class('P', ['x', 'y'])\nprint(attr.asdict(P(1, y=2)))",
        "{'x': 1, 'y': 2}",
    ),
    (
        "chess",
        "import chess\nb = chess.Board()\nfor m in ('f3', 'e5', 'g4', 'Qh4'): b.push_san(m)\nprint(b.is_checkmate())",
        "True",
    ),
    (
        "contourpy",
        "import contourpy\nlines = contourpy.contour_generator(z=[[0, 1], [0, 1]]).lines(0.5)\nprint(sorted(lines[0].tolist()))",
        "[[0.5, 0.0], [0.5, 1.0]]",
    ),
    (
        "fpdf",
        "import fpdf\np = fpdf.FPDF(); p.add_page(); p.set_font('Arial'); p.cell(40, 10, 'hi'); p.output('a.pdf')\nprint(open('a.pdf', 'rb').read(5))",
        "b'%PDF-'",
    ),
    (
        "geopandas",
        "import geopandas\nfrom shapely.geometry import Point\ng = geopandas.GeoSeries([Point(0, 0), Point(3, 4)], crs='EPSG:3857')\ngeopandas.GeoDataFrame(geometry=g).to_file('a.geojson')\nprint(g.distance(Point(0, 0)).tolist(), len(geopandas.read_file('a.geojson')))",
        "[0.0, 5.0] 2",
    ),
    (
        "imageio",
        "import imageio.v3 as i, numpy\ni.imwrite('a.png', numpy.full((2, 3, 3), 7, 'uint8')); print(i.imread('a.png').sum())",
        "126",
    ),
    (
        "jinja2",
        "import jinja2\nprint(jinja2.Template('{% for i in n %}{{ i }},{% endfor %}').render(n=range(3)))",
        "0,1,2,",
    ),
    (
        "joblib",
        "import joblib\njoblib.dump({'a': 1}, 'a.job'); m = joblib.Memory('cache', verbose=0)\nprint(joblib.load('a.job'), m.cache(abs)(-2), joblib.Parallel(2)(joblib.delayed(abs)(i) for i in [-1]))",
        "{'a': 1} 2 [1]",
    ),
    (
        "jsonschema",
        "import jsonschema\ntry: jsonschema.validate({'a': 1}, {'properties': {'a': {'type': 'string'}}})\nexcept jsonschema.ValidationError as e: print(e.message)",
        "1 is not of type 'string'",
    ),
    (
        "jsonschema-specifications",
        "from jsonschema_specifications import REGISTRY\nprint('http://json-schema.org/draft-07/schema#'[:-1] in [u.rstrip('#') for u in REGISTRY])",
        "True",
    ),
    (
        "lxml",
        "from lxml import etree\nprint(etree.fromstring('<a><b>1</b><b>2</b></a>').xpath('sum(b)'))",
        "3.0",
    ),
    (
        "matplotlib",
        "import io, matplotlib.pyplot as p\np.plot([1, 2]); f = io.BytesIO(); p.savefig(f, format='svg'); p.close(); print(b'</svg>' in f.getvalue())",
        "True",
    ),
    (
        "mpmath",
        "import mpmath\nmpmath.mp.dps = 30; print(mpmath.zeta(2) * 6)",
        "9.86960440108935861883449099988",
    ),
    (
        "numpy",
        "import numpy as n\nprint(n.linalg.solve([[2., 0], [0, 4]], [2, 2]).tolist(), n.fft.fft([1, 0, 0, 0]).real.tolist())",
        "[1.0, 0.5] [1.0, 1.0, 1.0, 1.0]",
    ),
    (
        "opencv-python",
        "import cv2, numpy\na = numpy.zeros((40, 40), 'uint8'); cv2.circle(a, (20, 20), 10, 255, -1)\nprint(len(cv2.findContours(a, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)[0]), cv2.imdecode(cv2.imencode('.jpg', a)[1], 0).shape)",
        "1 (40, 40)",
    ),
    (
        "openpyxl",
        "import openpyxl\nw = openpyxl.Workbook(); w.active['A1'] = 42; w.save('a.xlsx'); print(openpyxl.load_workbook('a.xlsx').active['A1'].value)",
        "42",
    ),
    (
        "packaging",
        "from packaging.version import Version\nprint(Version('1.10') > Version('1.9'))",
        "True",
    ),
    (
        "pandas",
        "import io, pandas as p\nd = p.read_csv(io.StringIO('k,v\\na,1\\na,2\\nb,3')); d.to_excel('a.xlsx')\nprint(d.groupby('k').v.sum().to_dict(), len(p.read_excel('a.xlsx')))",
        "{'a': 3, 'b': 3} 3",
    ),
    (
        "pillow",
        "from PIL import Image, ImageDraw, ImageFilter\ni = Image.new('RGB', (9, 9)); ImageDraw.Draw(i).rectangle((2, 2, 6, 6), 'red'); print(i.filter(ImageFilter.BoxBlur(1)).rotate(90).getpixel((4, 4)))",
        "(255, 0, 0)",
    ),
    (
        "protobuf",
        "from google.protobuf import struct_pb2, json_format\ns = struct_pb2.Struct(); s.update({'a': [1, 'b']}); print(json_format.MessageToDict(struct_pb2.Struct.FromString(s.SerializeToString())))",
        "{'a': [1.0, 'b']}",
    ),
    (
        "pylatex",
        "import pylatex\nd = pylatex.Document(); d.append(pylatex.Section('One')); print('section{One}' in d.dumps())",
        "True",
    ),
    (
        "pyparsing",
        "import pyparsing as p\nprint(p.infix_notation(p.Word(p.nums), [('*', 2, p.OpAssoc.LEFT), ('+', 2, p.OpAssoc.LEFT)]).parse_string('1+2*3').as_list())",
        "[['1', '+', ['2', '*', '3']]]",
    ),
    (
        "PyPDF2",
        "import fpdf, PyPDF2\np = fpdf.FPDF(); p.add_page(); p.set_font('Arial'); p.cell(40, 10, 'hello'); p.output('a.pdf')\nprint(PyPDF2.PdfReader('a.pdf').pages[0].extract_text().strip())",
        "hello",
    ),
    (
        "python-dateutil",
        "from dateutil import parser, relativedelta, rrule\nprint(parser.parse('31 Jan 2024') + relativedelta.relativedelta(months=1), rrule.rrule(rrule.DAILY, count=3).count())",
        "2024-02-29 00:00:00 3",
    ),
    (
        "python-docx",
        "import docx\nd = docx.Document(); d.add_paragraph('hi'); d.save('a.docx'); print(docx.Document('a.docx').paragraphs[0].text)",
        "hi",
    ),
    (
        "python-pptx",
        "import pptx\np = pptx.Presentation(); p.slides.add_slide(p.slide_layouts[0]).shapes.title.text = 'hi'; p.save('a.pptx'); print(pptx.Presentation('a.pptx').slides[0].shapes.title.text)",
        "hi",
    ),
    (
        "reportlab",
        "from reportlab.pdfgen import canvas\nfrom PyPDF2 import PdfReader\nc = canvas.Canvas('a.pdf'); c.drawString(9, 9, 'hi'); c.save(); print(PdfReader('a.pdf').pages[0].extract_text().strip())",
        "hi",
    ),
    (
        "scikit-learn",
        "from sklearn.datasets import make_blobs\nfrom sklearn.ensemble import RandomForestClassifier\nx, y = make_blobs(90, random_state=0, cluster_std=.1); print(RandomForestClassifier(9, random_state=0).fit(x, y).score(x, y))",
        "1.0",
    ),
    (
        "scipy",
        "from scipy import integrate, optimize\nimport math\nprint(round(integrate.quad(math.sin, 0, math.pi)[0], 9), round(optimize.brentq(lambda x: x * x - 4, 0, 9), 6))",
        "2.0 2.0",
    ),
    (
        "seaborn",
        "import seaborn, matplotlib.pyplot as p\na = seaborn.heatmap([[1, 2], [3, 4]], annot=True); print([t.get_text() for t in a.texts]); p.close()",
        "['1', '2', '3', '4']",
    ),
    ("six", "import six\nprint(six.ensure_str(b'hi'), six.PY3)", "hi True"),
    (
        "striprtf",
        "from striprtf.striprtf import rtf_to_text\nprint(rtf_to_text(r'{\\rtf1 {\\b hi}}'))",
        "hi",
    ),
    (
        "sympy",
        "import sympy as s\nx = s.Symbol('x'); print(s.integrate(s.sin(x) * x, x), s.solve(x**2 - 2))",
        "-x*cos(x) + sin(x) [-sqrt(2), sqrt(2)]",
    ),
    (
        "tabulate",
        "import tabulate\nprint(tabulate.tabulate([[1, 2]], headers='ab', tablefmt='github').splitlines()[0])",
        "|   a |   b |",
    ),
    (
        "tensorflow",
        "import tensorflow as t\nwith t.GradientTape() as g: x = t.Variable(3.0); y = x * x\nprint(float(g.gradient(y, x)), t.linalg.matmul([[1., 2.]], [[3.], [4.]]).numpy().tolist())",
        "6.0 [[11.0]]",
    ),
    (
        "toolz",
        "import toolz\nprint(toolz.groupby(len, ['a', 'bb', 'c']), toolz.pipe(3, lambda n: n + 1))",
        "{1: ['a', 'c'], 2: ['bb']} 4",
    ),
    (
        "xlrd",
        "import struct, xlrd\n# A sheet of Excel 2 with one number.\nopen('a.xls', 'wb').write(struct.pack('<4H', 9, 4, 2, 16) + struct.pack('<4H3xd', 3, 15, 0, 0, 42.0) + struct.pack('<2H', 10, 0))\nprint(xlrd.open_workbook('a.xls').sheet_by_index(0).cell_value(0, 0))",
        "42.0",
    ),
];

/// [A29] Each in its own cell, so that each is used for the first time.
#[tokio::test]
async fn each_library_works_within_a_run() {
    assert_eq!(WORKS.len(), 37);
    let warden = Warden::start(&[]);
    let server = TestServer::builder().sandbox(&warden.socket()).start().await;
    let mut wrong = Vec::new();
    for (name, code, expected) in WORKS {
        let answer = execute(&server, code).await;
        eprintln!("{name}: {} ms", answer["usage"]["wall_ms"]);
        if (&answer["outcome"], &answer["stdout"])
            != (&json!("ok"), &json!(format!("{expected}\n")))
        {
            wrong.push(format!("{name}: {answer:.1000}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The import names of all 37.
const NAMES: &[&str] = &[
    "attrs",
    "chess",
    "contourpy",
    "fpdf",
    "geopandas",
    "imageio",
    "jinja2",
    "joblib",
    "jsonschema",
    "jsonschema_specifications",
    "lxml.etree",
    "matplotlib",
    "mpmath",
    "numpy",
    "cv2",
    "openpyxl",
    "packaging",
    "pandas",
    "PIL",
    "google.protobuf",
    "pylatex",
    "pyparsing",
    "PyPDF2",
    "dateutil",
    "docx",
    "pptx",
    "reportlab",
    "sklearn",
    "scipy",
    "seaborn",
    "six",
    "striprtf",
    "sympy",
    "tabulate",
    "tensorflow",
    "toolz",
    "xlrd",
];

/// With the default limit of thirty seconds: TensorFlow alone takes seconds to import.
#[tokio::test]
async fn all_libraries_can_be_imported_and_keras_learns() {
    assert_eq!(NAMES.len(), 37);
    let data = tempfile::tempdir().expect("there is a place for temporary files");
    let server = Program::start_whole(data.path(), &[]);
    let imports: String = NAMES.iter().map(|name| format!("import {name}\n")).collect();
    let fit = "import keras, numpy as np\n\
        x = np.arange(8.0).reshape(8, 1)\n\
        model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])\n\
        model.compile(optimizer='sgd', loss='mse')\n\
        losses = model.fit(x, 2 * x, epochs=3, verbose=0).history['loss']\n\
        print(len(losses), losses[-1] < losses[0])";

    let output = ran(&server.create(direct(&format!("{imports}{fit}"))).await).remove(0).ok();

    assert_eq!(output, "3 True\n");
}

/// Ordinary code that newer major versions reject, by which the versions of the lock were chosen; see
/// docs/src/reference/libraries.md. Each line is one common idiom.
const IDIOMS: &str = "
assert len(pd.date_range('2024-01-01', periods=3, freq='M')) == 3
assert len(pd.date_range('2024-01-01', periods=3, freq='H')) == 3
assert pd.Series(range(90), pd.date_range('2024-01-01', periods=90)).resample('Q').sum().size == 1
assert pd.Series([1, None]).fillna(method='ffill')[1] == 1
assert pd.DataFrame({'a': [1]}).applymap(lambda x: x + 1).a[0] == 2
assert pd.DataFrame({'a': ['x']}).a.dtype == object
assert list(pd.DataFrame({'a': ['x'], 'n': [1]}).select_dtypes(include='object')) == ['a']
d = pd.DataFrame({'a': [1, None]}); d['a'].fillna(0, inplace=True); assert d.a[1] == 0
d = pd.DataFrame({'a': [1, 2]}); d['a'][0] = 9; assert d.a[0] == 9
d = pd.DataFrame({'a': [1.0]}); d['a'].values[0] = 9; assert d.a[0] == 9
assert pd.date_range('2024-01-01', periods=2).dtype == 'datetime64[ns]'
assert pd.to_datetime(['2024-01-01'], infer_datetime_format=True)[0].year == 2024
assert pd.read_csv(io.StringIO('a b\\n1 2'), delim_whitespace=True).shape == (1, 2)
assert np.trapz([1, 2, 3], dx=0.5) == 2.0
assert np.in1d([1, 2], [2]).tolist() == [False, True]
assert float(np.array([1.5])) == 1.5
assert not cv2.CascadeClassifier(cv2.data.haarcascades + 'haarcascade_frontalface_default.xml').empty()
assert cv2.HOGDescriptor_getDefaultPeopleDetector().size > 0
assert cv2.ml.SVM_create() is not None and cv2.AKAZE_create() is not None
for x1, y1, x2, y2 in cv2.HoughLinesP(np.eye(90, dtype='uint8') * 255, 1, np.pi / 180, 10, minLineLength=10, maxLineGap=5)[0]: pass
assert mean_squared_error([1, 2], [1, 4], squared=False) > 1
LogisticRegression(multi_class='ovr').fit([[1.], [2], [3]], [0, 1, 2])
LogisticRegression(solver='liblinear').fit([[1.], [2], [3]], [0, 1, 2])
AdaBoostClassifier(algorithm='SAMME').fit([[1.], [2]], [0, 1])
TSNE(n_iter=250, perplexity=2)
plt.boxplot([[1, 2, 3]], labels=['a']); plt.close()
plt.plot_date([datetime.date(2024, 1, 1)], [1]); plt.close()
f = plt.figure(); f.canvas.draw(); assert f.canvas.tostring_rgb(); plt.close()
sph_harm(0, 1, 0.1, 0.2)
from PIL import Image, ImageMath; assert ImageMath.eval('a + 1', a=Image.new('L', (1, 1))).getpixel((0, 0)) == 1
import fpdf, PyPDF2; p = fpdf.FPDF(); p.add_page(); p.output('a.pdf'); assert PyPDF2.PdfFileReader(open('a.pdf', 'rb')).numPages == 1
";

/// The names that those lines use.
const IDIOM_IMPORTS: &str = "import cv2, datetime, io, warnings; warnings.simplefilter('ignore')
import numpy as np, pandas as pd, matplotlib.pyplot as plt
from sklearn.metrics import mean_squared_error
from sklearn.linear_model import LogisticRegression
from sklearn.ensemble import AdaBoostClassifier
from sklearn.manifold import TSNE
from scipy.special import sph_harm
";

#[tokio::test]
async fn common_idioms_work() {
    let server = TestServer::start("").await;
    let lines: Vec<&str> = IDIOMS.lines().filter(|line| !line.is_empty()).collect();
    let lines = serde_json::to_string(&lines).expect("they are text");
    let code = format!(
        "{IDIOM_IMPORTS}for line in {lines}:\n    try: exec(line)\n    \
         except Exception as error: print(line, type(error).__name__, error)\n"
    );
    let answer = execute(&server, &code).await;
    assert_eq!(
        (&answer["outcome"], &answer["stdout"]),
        (&json!("ok"), &json!("")),
        "{answer:.2000}"
    );
}
