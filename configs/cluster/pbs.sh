#!/bin/bash
# A sweep as an array of jobs of PBS: each index is a cell. The cells are made before:
#   pipeline sweep grid.yaml --freeze --out runs/grid
#   qsub -J 0-23 configs/cluster/pbs.sh
# Stages that cells share are made once: a cell whose stage another one is making waits for it. A job whose time is up is
# told by SIGTERM, saves its state and ends with 75; the same qsub again goes on from there, and finished cells end at once.
#PBS -N grid
#PBS -l select=1:ncpus=4:mem=8gb
#PBS -l walltime=04:00:00
#PBS -r y
cd "${PBS_O_WORKDIR:-.}" || exit 1
exec "${PIPELINE:-pipeline}" sweep "${SWEEP:-runs/grid}" --cell auto
