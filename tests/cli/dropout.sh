# Rates of dropout of a model that begins with a checkpoint: they reach the training, decide its key and are kept.
. "$(dirname "$0")/lib.sh"

# The same weights in three folders, which say different rates of themselves.
import() { # NAME DROPOUT ATTENTION_DROPOUT
	cp -r "$source_dir/tests/exchange/folders/bert" "$1.folder"
	sed -i -e "s/\"hidden_dropout_prob\": 0.1/\"hidden_dropout_prob\": $2/" \
		-e "s/\"attention_probs_dropout_prob\": 0.1/\"attention_probs_dropout_prob\": $3/" "$1.folder/config.json"
	works import "$1.folder" --out "$1"
}
import plain 0.1 0.1
import dropped 0.4 0.3
import attentive 0.1 0
i=0
printf 'text,label\n' >texts.csv
while [ $i -lt 40 ]; do
	printf 'the film is a very good play w%d,good\na bad long story of war w%d !,bad\n' $i $i >>texts.csv
	i=$((i + 1))
done
config() { # NAME MODEL
	cat <<-END
		name: $1
		seed: 3
		threads: 1
		data: {source: csv, path: texts.csv}
		models: {m: $2}
		stages: {t: {kind: train, model: m, epochs: 2, batch_size: 8, lr: 0.01}}
	END
}
trains() { # NAME MODEL
	config "$1" "$2" >"$1.yaml"
	works run "$1.yaml"
}
same() {
	cmp -s "runs/$1/01-t/model.safetensors" "runs/$2/01-t/model.safetensors"
}
trains a '{pretrained: ./plain}'
trains b '{pretrained: ./dropped}'
trains c '{pretrained: ./plain, dropout: 0.4, attention_dropout: 0.3}'
check "given rates train as those of a checkpoint that has them" same b c
check "and these as others do not" eval '! same a b'
trains d '{pretrained: ./plain, attention_dropout: 0}'
trains e '{pretrained: ./attentive}'
check "0 is a rate, too" same d e
check "which is not that of the checkpoint" eval '! same a d'
spec() { # NAME: the rates in the checkpoint that was made
	sed -n '/"model_spec"/,/}/s/.*"\(\|attention_\)dropout":[[:space:]]*\(0\.[0-9]\).*/\1\2/p' \
		"runs/$1/01-t/checkpoint_info.json" | tr '\n' ' '
}
check "the checkpoint has what was given" [ "$(spec c)" = "0.4 attention_0.3 " ]
check "and what was not" [ "$(spec d)" = "0.1 " ]
trains f '{pretrained: ./runs/c/01-t}'
check "a model that begins with that goes on with it" [ "$(spec f)" = "$(spec c)" ]

# The key, and what tells of it.
works run c.yaml
check "a rate that stays makes no other stage" grep -q "^01-t: up to date" err
works plan c.yaml --set models.m.dropout=0.2
contains out "runs again: model.dropout was 0.4"
works plan c.yaml --set models.m.attention_dropout=0.1
contains out "runs again: model.attention_dropout was 0.3"
works plan a.yaml --set models.m.dropout=0.1
contains out "01-t: train, up to date"
works plan d.yaml --json
contains out '"attention_dropout":	0'
contains out '"dropout":	null'
works verify runs/c
works explain model
check "explain lists both" [ "$(sed -n '/^instead of a family/,$p' out | grep -c '0\.\.0\.95')" -eq 2 ]
works schema
contains out "likewise, of families whose attention maps have it"

# What is no rate, and what has none.
config g '{pretrained: ./plain, dropout: 1.5}' >g.yaml
refuses 2 "g.yaml:5:44: 'dropout' must be a number in 0..0.95, found '1.5'" plan g.yaml
refuses 2 "'attention_dropout' must be a number in 0..0.95" plan c.yaml --set models.m.attention_dropout=-0.1
refuses 2 "unknown key 'dropuot'; did you mean 'dropout'?" plan c.yaml --set models.m.dropuot=0.1
begun() { # NAME FAMILY: a model of the digits that others begin with
	printf 'name: %s\nseed: 3\nthreads: 1\ndata: {source: digits}\nmodels: {m: %s}\nstages: {t: {kind: train, model: m, epochs: 1}}\n' \
		"$1" "$2" >"$1.yaml"
	works run "$1.yaml"
	sed "s/^name: .*/name: begun/; s|models: .*|models: {m: {pretrained: ./runs/$1/01-t, RATE}}|" "$1.yaml" >"$1-begun.yaml"
}
begun mlp '{family: mlp, hidden: [8]}'
begun flat '{family: mlp}'
begun resnet '{family: resnet, stages: [4], blocks: [1], stem_pool: 1}'
rate() { # NAME RATE
	sed "s/RATE/$2/" "$1-begun.yaml" >begun.yaml
}
rate mlp 'dropout: 0.5'
works run begun.yaml
check "images have it too" [ "$(spec begun)" = "0.5 " ]
rate mlp 'attention_dropout: 0.5'
refuses 2 "begun.yaml:5:62: 'attention_dropout' is no option of family mlp (only of encoder)" plan begun.yaml
rate flat 'dropout: 0.5'
refuses 2 "'dropout' has no effect: the model, of family mlp, has no such layers" plan begun.yaml
rate resnet 'dropout: 0.5'
refuses 2 "'dropout' is no option of family resnet (only of mlp, cnn, bag, encoder)" run begun.yaml
finish
