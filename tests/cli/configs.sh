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
(cd data/eurosat && tar czf eurosat_rgb_core.tar.gz EuroSAT_RGB/*/*_[134].jpg &&
	tar czf eurosat_rgb_rest.tar.gz EuroSAT_RGB/*/*_2.jpg)

count=0
for config in $(find "$source_dir/configs" -name '*.yaml' | sort); do
	count=$((count + 1))
	if grep -q 'teacher: runs/' "$config"; then # the checkpoint of another config's run, which is not there
		refuses 4 "no such checkpoint" plan "$config"
	else
		works plan "$config"
		contains out "stages to run"
	fi
	if ! grep -q 'source: digits' "$config"; then
		mv data hidden
		refuses 3 "no such file" plan "$config"
		mv hidden data
	fi
done
check "there are configs" [ $count -gt 1 ]
check "plan writes nothing" [ ! -e runs ]
finish
