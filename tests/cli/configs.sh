# Every config that is shipped passes `plan`: on stand-ins of its data made here, with the names and shapes of the real
# files (or names the checkpoint of another run that it needs). Without the data, plan ends with exit status 3 and the name of the missing file.
. "$(dirname "$0")/lib.sh"

mkdir -p data/mnist data/eurosat/EuroSAT_RGB
"$tool" idx data/mnist/train 300 28 10
"$tool" idx data/mnist/t10k 50 28 10
cp -r data/mnist data/fashion_mnist
echo file,label,class,archive,split >data/eurosat/index.csv
label=0
for class in AnnualCrop Forest HerbaceousVegetation Highway Industrial Pasture PermanentCrop Residential River SeaLake; do
	mkdir "data/eurosat/EuroSAT_RGB/$class"
	k=0
	for split in train train val test; do
		k=$((k + 1))
		name="EuroSAT_RGB/$class/${class}_$k.jpg"
		"$tool" jpeg "data/eurosat/$name" 64 64 $((20 * label + k))
		archive=core
		[ $k -ne 2 ] || archive=rest
		echo "$name,$label,$class,$archive,$split" >>data/eurosat/index.csv
	done
	label=$((label + 1))
done
mkdir data/phrasebank data/bangla_cyberbully5 data/sst2
text_rows() { # a row for each of 60 texts: number, and 0, 1 or 2
	k=0
	while [ $k -lt 60 ]; do
		echo "$k $((k % 3))"
		k=$((k + 1))
	done
}
text_rows | while read -r k class; do
	echo "sales of unit $k went that way $class@$(echo negative neutral positive | cut -d ' ' -f $((class + 1)))"
done >data/phrasebank/Sentences_50Agree.txt
{
	echo Gender,Profession,comment,bully,sexual,religious,threat,spam
	text_rows | while read -r k class; do
		echo "f,p,words $k of kind $class,$((class == 0)),$((k % 2)),$((class == 1)),$((k % 5 == 0)),$((k % 4 == 1))"
	done
} >data/bangla_cyberbully5/1_Multilablel_Cyberbully_Data.csv
for file in train dev; do
	{
		printf 'sentence\tlabel\n'
		text_rows | while read -r k class; do
			printf '%s film number %s\t%s\n' $file "$k" $((k % 2))
		done
	} >data/sst2/$file.tsv
done
(cd data/eurosat && tar czf eurosat_rgb_core.tar.gz EuroSAT_RGB/*/*_[134].jpg &&
	tar czf eurosat_rgb_rest.tar.gz EuroSAT_RGB/*/*_2.jpg)

# Texts: enough of each class for every split and fold, words that occur more than once.
mkdir -p data/phrasebank data/sst2 data/bangla_cyberbully5
i=0
while [ $i -lt 120 ]; do
	i=$((i + 1))
	case $((i % 3)) in 0) class=positive ;; 1) class=negative ;; *) class=neutral ;; esac
	echo "Net sales of company number $i were $class .@$class" >>data/phrasebank/Sentences_50Agree.txt
	printf 'the film number %d is good \t%d\n' $i $((i % 2)) >>data/sst2/rows
	echo "female,dancer,এই দেশে $i কি হচ্ছে,$((i % 2)),$((i / 2 % 2)),$((i / 3 % 2)),$((i / 4 % 2)),$((i / 5 % 2))" \
		>>data/bangla_cyberbully5/rows
done
for split in train dev; do
	printf 'sentence\tlabel\n' >data/sst2/$split.tsv
done
sed -n 1,90p data/sst2/rows >>data/sst2/train.tsv
sed -n 91,120p data/sst2/rows >>data/sst2/dev.tsv
echo Gender,Profession,comment,bully,sexual,religious,threat,spam | cat - data/bangla_cyberbully5/rows \
	>data/bangla_cyberbully5/1_Multilablel_Cyberbully_Data.csv
rm data/sst2/rows
mkdir data/bangla_toxic6 data/vocab
{
	echo text,vulgar,hate,religious,threat,troll,Insult
	sed 's/^female,dancer,\(.*\)$/\1,0/; s/^\(.*\),\([01]\),0$/\1,\2,\2/' data/bangla_cyberbully5/rows
} >data/bangla_toxic6/Multi_labeled_toxic_comments.csv
rm data/bangla_cyberbully5/rows
printf '%s\n' '[PAD]' '[UNK]' '[CLS]' '[SEP]' '[MASK]' এই দেশে কি হচ্ছে এই >data/vocab/bangla-bert-base-vocab.txt

# Encoders of the shapes that configs begin with, trained on next to nothing: what `import` would have written. Those of BERT-base
# have as many layers, of a few numbers each; a student that begins with its layers is cut down alike.
cat >encoder.yaml <<'END'
name: encoder
data: {source: csv, path: data/sst2, train: train.tsv, test: dev.tsv}
models:
  encoder: {family: encoder, layers: 6, hidden: 384, heads: 12, ffn: 1536, token_types: 2, pooling: mean, pooler: none, input: {longest: 512}}
  bert: {family: encoder, layers: 12, hidden: 24, heads: 12, ffn: 48, token_types: 2}
  bangla: {family: encoder, layers: 12, hidden: 24, heads: 12, ffn: 48, token_types: 2, input: {lowercase: false}}
stages:
  encoder: {kind: train, model: encoder, epochs: 1, batch_size: 64}
  bert: {kind: train, model: bert, epochs: 1, batch_size: 64}
  bangla: {kind: train, model: bangla, epochs: 1, batch_size: 64}
END
works run encoder.yaml --out made
mkdir models
cp -r made/01-encoder models/minilm-l6
cp -r made/02-bert models/bert-base
cp -r made/03-bangla models/bangla-bert-base

echo "Operating profit rose to EUR 13.1 mn" >sentences.txt
count=0
# Grids are planned as grids; configs/cluster is of other programs.
for grid in "$source_dir"/configs/sweeps/*.yaml; do
	if grep -q 'runs/.*/' "$grid"; then # a checkpoint of another config's run, which is not there
		refuses 4 "no such checkpoint" sweep "$grid" --plan
	else
		works sweep "$grid" --plan
	fi
done
for config in $(find "$source_dir/configs" -name '*.yaml' ! -path '*/sweeps/*' ! -path '*/cluster/*' | sort); do
	count=$((count + 1))
	cut=
	if grep -q 'pretrained: models/b' "$config" && grep -q 'hidden: 768' "$config"; then
		cut="--set models.student.hidden=24 --set models.student.ffn=48"
	fi
	if grep -q 'teacher: runs/' "$config"; then # the checkpoint of another config's run, which is not there
		refuses 4 "no such checkpoint" plan "$config"
	else
		# shellcheck disable=SC2086 # several words
		works plan "$config" $cut
		contains out "stages to run"
	fi
	if ! grep -q 'source: digits' "$config"; then
		mv data hidden
		refuses 3 "no such file" plan "$config"
		mv hidden data
	fi
done
check "plan writes nothing" [ ! -e runs ]

# The eight pipelines of one run, from texts to the table.
few="--set data.val_fraction=0.2 --set stages.student.teacher_gate=0 --set stages.evaluate.latency=false"
for stage in teacher student prune_only kd_prune; do
	few="$few --set stages.$stage.epochs=1"
done
# shellcheck disable=SC2086 # several words
works run "$source_dir/configs/banglabert/ablation.yaml" $few --out ablation
for model in teacher student prune_only quant_only kd_prune kd_quant prune_quant kd_prune_quant; do
	contains err "$model: test"
done

# One training instead of stages, taught by the float student itself.
few="--set stages.teacher.epochs=2 --set stages.student.epochs=2 --set stages.student.teacher_gate=0 --set stages.joint.epochs=2"
# shellcheck disable=SC2086 # several words
works run "$source_dir/configs/joint.yaml" $few --set stages.joint.teacher=self --set stages.evaluate.latency=false --out joint
contains err "simulated against executed: 0 of"
contains out "joint_50"
check "there are configs" [ $count -gt 1 ]
finish
